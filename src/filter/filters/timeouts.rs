//! How long a request may take (`HTTPRouteTimeouts`).

use tokio::time::{Duration, Instant};

use crate::model;

/// Compiled bounds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeouts {
    request: Option<Duration>,
    backend: Option<Duration>,
    declared: bool,
}

/// How long the backend may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As long as the proxy's own limit says.
    Usual,
    /// As long as the request may take at all.
    Unlimited,
}

impl Timeouts {
    /// None at all. Calls of gRPC bring a deadline of their own if they want one, and may be silent until then; that the backend
    /// is there its connection tells.
    pub const OF_CALLS: Self = Self { request: None, backend: None, declared: true };

    pub(super) fn compile(timeouts: &model::Timeouts) -> Self {
        let bound = |declared: Option<u64>| declared.filter(|millis| *millis > 0).map(Duration::from_millis);
        let declared = timeouts.request.is_some() || timeouts.backend.is_some();
        Self { request: bound(timeouts.request), backend: bound(timeouts.backend), declared }
    }

    /// When a request that came at `start` must have been answered to its last byte; none: never.
    pub fn end(&self, start: Instant) -> Option<Instant> {
        self.request.map(|bound| start + bound)
    }

    /// The same for what is sent to a backend now.
    pub fn end_of_attempt(&self, now: Instant, end: Option<Instant>) -> Option<Instant> {
        let own = self.backend.map(|bound| now + bound);
        own.into_iter().chain(end).min()
    }

    /// What the rule says replaces the proxy's own limit, also when it says that there is none.
    pub fn patience(&self) -> Patience {
        if self.declared { Patience::Unlimited } else { Patience::Usual }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, Instant};

    use super::{Patience, Timeouts};
    use crate::model;

    #[test]
    fn the_nearer_end_counts_and_zero_is_none() {
        let now = Instant::now();
        let later = |millis| Some(now + Duration::from_millis(millis));
        // (request, backend, end, end of an attempt)
        let table = [
            (None, None, None, None),
            (Some(0), None, None, None),
            (None, Some(0), None, None),
            (Some(300), None, later(300), later(300)),
            (None, Some(200), None, later(200)),
            (Some(300), Some(200), later(300), later(200)),
            (Some(300), Some(0), later(300), later(300)),
            (Some(0), Some(200), None, later(200)),
        ];
        for (request, backend, end, attempt) in table {
            let timeouts = Timeouts::compile(&model::Timeouts { request, backend });
            assert_eq!((timeouts.end(now), timeouts.end_of_attempt(now, end)), (end, attempt), "{request:?} {backend:?}");
            let declared = request.is_some() || backend.is_some();
            assert_eq!(timeouts.patience() == Patience::Unlimited, declared);
        }
        let late = Timeouts::compile(&model::Timeouts { request: Some(300), backend: Some(200) });
        assert_eq!(late.end_of_attempt(now + Duration::from_millis(250), later(300)), later(300));
    }
}
