//! The names of ExternalName Services: a source like [`directory`](super::directory) and [`cluster`](super::cluster), of
//! addresses that DNS gives in place of objects.
//!
//! A name is asked for as long as something wants it, again when its records expire. A name is absolute: no search domains,
//! no `/etc/hosts`, and one that looks like an address is a name like any other.

mod ask;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use self::ask::{Answer, Asker, Failure};
use crate::model::Resolution;

/// How a name is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Shortest and longest time for which an answer counts, whatever its records say.
    pub life: (Duration, Duration),
    /// Time until a name that failed is asked for again: at first, and at most; it doubles.
    pub retry: (Duration, Duration),
    /// For how long the last addresses are kept while there is no answer.
    pub keep: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { life: (seconds(5), seconds(3600)), retry: (seconds(2), seconds(60)), keep: seconds(600) }
    }
}

/// What is known of a name.
struct Known {
    resolution: Resolution,
    /// Whether it was asked for and came to something.
    settled: bool,
    /// Since when it fails.
    failing: Option<Instant>,
    failures: u32,
    task: AbortHandle,
}

/// All names that are wanted.
pub struct Names {
    asker: Asker,
    limits: Limits,
    known: BTreeMap<String, Known>,
    asking: JoinSet<(String, Result<Answer, Failure>)>,
}

impl Names {
    /// Asks these DNS servers, or those of `/etc/resolv.conf` when there are none.
    pub fn new(servers: &[SocketAddr], limits: Limits) -> Self {
        Self { asker: Asker::new(servers), limits, known: BTreeMap::new(), asking: JoinSet::new() }
    }

    /// These names, and no others, are asked for from now on.
    pub fn want(&mut self, names: &BTreeSet<String>) {
        self.known.retain(|name, known| {
            let wanted = names.contains(name);
            if !wanted {
                known.task.abort();
            }
            wanted
        });
        for name in names {
            if !self.known.contains_key(name) {
                let task = self.ask(name.clone(), Duration::ZERO);
                let resolution = Resolution::default();
                self.known.insert(name.clone(), Known { resolution, settled: false, failing: None, failures: 0, task });
            }
        }
    }

    /// Whether every name was asked for and came to something.
    pub fn is_settled(&self) -> bool {
        self.known.values().all(|known| known.settled)
    }

    /// Waits until something else is known of a name. Nothing is lost when it is given up.
    pub async fn changed(&mut self) -> (String, Resolution) {
        loop {
            match self.asking.join_next().await {
                Some(Ok((name, answer))) => {
                    if let Some(resolution) = self.learn(&name, answer) {
                        return (name, resolution);
                    }
                }
                // A name that nobody wants any more.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    fn ask(&mut self, name: String, after: Duration) -> AbortHandle {
        let asker = self.asker.clone();
        self.asking.spawn(async move {
            sleep(after).await;
            let answer = asker.ask(&name).await;
            (name, answer)
        })
    }

    /// Takes an answer in; what is known now, when that differs.
    fn learn(&mut self, name: &str, answer: Result<Answer, Failure>) -> Option<Resolution> {
        let limits = self.limits;
        let known = self.known.get_mut(name)?;
        let (next, again) = match answer {
            Ok(Answer { addresses, life }) => {
                (known.failing, known.failures) = (None, 0);
                (Resolution { addresses, failure: None }, life.clamp(limits.life.0, limits.life.1))
            }
            Err(failure) => {
                let since = *known.failing.get_or_insert_with(Instant::now);
                let again = limits.retry.0.saturating_mul(1 << known.failures.min(16)).min(limits.retry.1);
                known.failures += 1;
                // Only for want of an answer does an old one count on (RFC 8767 §4).
                let kept = !failure.is_final() && since.elapsed() < limits.keep;
                let addresses = if kept { known.resolution.addresses.clone() } else { BTreeSet::new() };
                (Resolution { addresses, failure: Some(failure.to_string()) }, again)
            }
        };
        let news = !known.settled || known.resolution != next;
        (known.resolution, known.settled) = (next.clone(), true);
        // Nobody can want it less between here and there: this is one step.
        let task = self.ask(name.to_owned(), again);
        if let Some(known) = self.known.get_mut(name) {
            known.task = task;
        }
        news.then_some(next)
    }
}
