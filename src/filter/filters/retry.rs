//! When a request is sent again (`HTTPRouteRetry`).

use http::StatusCode;
use tokio::time::Duration;

use crate::model;

/// The pause doubles with each time, up to so many times the first.
const LONGEST: u32 = 16;

/// A compiled policy.
#[derive(Debug)]
pub struct Retry {
    codes: Vec<u16>,
    /// How often a request is sent again.
    pub attempts: u32,
    backoff: Duration,
}

impl Retry {
    pub(super) fn compile(retry: &model::Retry) -> Self {
        Self { codes: retry.codes.clone(), attempts: retry.attempts, backoff: Duration::from_millis(retry.backoff) }
    }

    /// Whether an answer with this status is not taken.
    pub fn refuses(&self, status: StatusCode) -> bool {
        self.codes.contains(&status.as_u16())
    }

    /// The pause before the request is sent again when that has happened so often: at least the declared one, up to half of
    /// it longer, so that requests that failed together do not come together again.
    pub fn pause(&self, before: u32) -> Duration {
        let times = 2_u32.saturating_pow(before).min(LONGEST);
        self.backoff.saturating_mul(times).mul_f64(rand::random_range(1.0..1.5))
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tokio::time::Duration;

    use super::Retry;
    use crate::model;

    #[test]
    fn pauses_are_never_shorter_than_declared() {
        let retry = Retry::compile(&model::Retry { codes: vec![503], attempts: 3, backoff: 100 });
        for before in [0, 1, 2, 9, u32::MAX] {
            let least = Duration::from_millis(100) * 2_u32.saturating_pow(before).min(16);
            let pause = retry.pause(before);
            assert!(pause >= least && pause < least * 2, "{before}: {pause:?}");
        }
        assert!(retry.refuses(StatusCode::SERVICE_UNAVAILABLE) && !retry.refuses(StatusCode::BAD_GATEWAY));
        let endless = Retry::compile(&model::Retry { codes: Vec::new(), attempts: 1, backoff: 359_996_400_000 * 4 });
        assert!(endless.pause(4) > Duration::from_secs(1));
    }
}
