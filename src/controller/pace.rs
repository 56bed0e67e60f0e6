//! How fast the leader may write.

use std::time::Duration;

use tokio::time::Instant;

/// So many turns at once, then one per interval.
#[derive(Clone, Debug)]
pub struct Pace {
    interval: Duration,
    burst: u32,
    /// When the turn after the last one is due, were there no burst.
    due: Option<Instant>,
}

impl Pace {
    /// A pace at which nothing was done yet.
    pub fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, due: None }
    }

    /// Takes the next turn, and says how long to wait for it.
    pub fn take(&mut self, now: Instant) -> Duration {
        let wait = self.wait(now);
        self.due = Some(self.due.unwrap_or(now).max(now) + self.interval);
        wait
    }

    /// Takes a turn if there is one now.
    ///
    /// # Errors
    /// How long to wait before there is one.
    pub fn try_take(&mut self, now: Instant) -> Result<(), Duration> {
        match self.wait(now) {
            Duration::ZERO => {
                self.take(now);
                Ok(())
            }
            wait => Err(wait),
        }
    }

    fn wait(&self, now: Instant) -> Duration {
        let ahead = self.due.map(|due| due.saturating_duration_since(now)).unwrap_or_default();
        (ahead + self.interval).saturating_sub(self.interval * self.burst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Pace;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_by_interval() {
        let second = Duration::from_secs(1);
        let (now, mut pace) = (Instant::now(), Pace::new(second, 3));
        let waits: Vec<_> = (0..5).map(|_| pace.take(now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 1, 2]);
        assert_eq!(pace.try_take(now + second), Err(second * 2));
        assert_eq!(pace.try_take(now + second * 3), Ok(()));
        assert_eq!(pace.take(now + second * 100), Duration::ZERO);
    }
}
