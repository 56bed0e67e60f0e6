//! Runs hyper's tasks on the worker's own thread.

/// Spawns on the current local runtime.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
