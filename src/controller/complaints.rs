//! Log lines about what fails at the API server: one says it for all objects, and the metric counts them.

use std::collections::HashMap;
use std::time::Duration;

use prometheus::IntCounterVec;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How often the same is said at most.
const PERIOD: Duration = Duration::from_secs(60);

/// What was said, and when.
pub struct Complaints {
    /// By kind and variant.
    counter: IntCounterVec,
    said: Mutex<HashMap<(&'static str, &'static str), Instant>>,
}

impl Complaints {
    /// Nothing was said yet.
    pub fn new(counter: IntCounterVec) -> Self {
        Self { counter, said: Mutex::default() }
    }

    /// Counts something of a kind that failed. Whether it is to be logged.
    pub async fn count(&self, kind: &'static str, variant: &'static str) -> bool {
        self.counter.with_label_values(&[kind, variant]).inc();
        let (now, mut said) = (Instant::now(), self.said.lock().await);
        let due = said.get(&(kind, variant)).is_none_or(|last| now.duration_since(*last) >= PERIOD);
        if due {
            said.insert((kind, variant), now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::{IntCounterVec, Opts};
    use tokio::time::advance;

    use super::Complaints;

    #[tokio::test(start_paused = true)]
    async fn everything_is_counted_and_the_same_is_said_once_a_minute() {
        let counter = IntCounterVec::new(Opts::new("errors", "of writes"), &["kind", "variant"]).unwrap();
        let complaints = Complaints::new(counter.clone());
        let mut said = Vec::new();
        for _ in 0..3 {
            said.push(complaints.count("HTTPRoute", "timeout").await);
        }
        said.push(complaints.count("Gateway", "timeout").await);
        advance(Duration::from_secs(60)).await;
        said.push(complaints.count("HTTPRoute", "timeout").await);
        assert_eq!(said, [true, false, false, true, true]);
        assert_eq!(counter.with_label_values(&["HTTPRoute", "timeout"]).get(), 4);
    }
}
