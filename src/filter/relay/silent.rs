//! Clients that connect and say nothing: a server that tells the versions of HTTP apart waits for their first byte, whatever
//! its own clocks say.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Duration, Sleep, sleep};

use super::super::clocked::Clock;

/// The first byte must come in time.
pub(super) struct First {
    /// None once it came.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl First {
    pub(super) fn within(time: Duration) -> Self {
        Self { deadline: Some(Box::pin(sleep(time))) }
    }
}

impl Clock for First {
    fn read(&mut self, _: usize) {
        self.deadline = None;
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
