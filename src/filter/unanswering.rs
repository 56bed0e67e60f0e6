//! Endpoints to which no connection could be made when one was last tried: for people alone, it decides nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::traffic::Unreached;

/// Endpoints that are kept, at most: others are not known of.
const MOST: usize = 256;
/// What was last tried so long ago is not known of any more.
const LONGEST: Duration = Duration::from_secs(600);

/// Endpoints to which no connection could be made when one was last tried, over all workers.
#[derive(Debug, Default)]
pub struct Unanswering(watch::Sender<BTreeMap<SocketAddr, Failing>>);

#[derive(Clone, Copy, Debug)]
struct Failing {
    failures: u64,
    first: Instant,
    last: Instant,
}

impl Unanswering {
    /// A connection could be made.
    pub(super) fn answers(&self, address: SocketAddr) {
        // Nearly always there is nothing to forget.
        if self.0.borrow().contains_key(&address) {
            self.0.send_if_modified(|all| all.remove(&address).is_some());
        }
    }

    /// A connection could not be made.
    pub(super) fn fails(&self, address: SocketAddr, now: Instant) {
        self.0.send_modify(|all| {
            if all.len() >= MOST {
                all.retain(|_, failing| now.duration_since(failing.last) < LONGEST);
            }
            let known = all.get(&address).copied();
            let failing = match known.filter(|failing| now.duration_since(failing.last) < LONGEST) {
                Some(failing) => Failing { failures: failing.failures + 1, last: now, ..failing },
                None => Failing { failures: 1, first: now, last: now },
            };
            if known.is_some() || all.len() < MOST {
                all.insert(address, failing);
            }
        });
    }

    /// Those of now.
    pub(super) fn list(&self) -> Vec<Unreached> {
        let all = self.0.borrow();
        let known = all.iter().filter(|(_, failing)| failing.last.elapsed() < LONGEST);
        let told = known.map(|(address, failing)| Unreached {
            address: *address,
            failures: failing.failures,
            seconds: failing.first.elapsed().as_secs(),
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use tokio::time::{Instant, advance};

    use super::{LONGEST, MOST, Unanswering};

    #[tokio::test(start_paused = true)]
    async fn failures_count_until_a_connection_is_made_and_are_forgotten_in_time() {
        let all = Unanswering::default();
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let told = || all.list().iter().map(|one| (one.address.port(), one.failures, one.seconds)).collect::<Vec<_>>();
        all.fails(address(1), Instant::now());
        advance(std::time::Duration::from_secs(5)).await;
        all.fails(address(1), Instant::now());
        all.fails(address(2), Instant::now());
        assert_eq!(told(), [(1, 2, 5), (2, 1, 0)]);
        all.answers(address(1));
        assert_eq!(told(), [(2, 1, 0)]);
        advance(LONGEST).await;
        assert_eq!(told(), []);
        all.fails(address(2), Instant::now());
        assert_eq!(told(), [(2, 1, 0)], "what was before is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_kept_than_there_is_room_for() {
        let all = Unanswering::default();
        for port in 1..=u16::try_from(MOST).unwrap() + 10 {
            all.fails((Ipv4Addr::LOCALHOST, port).into(), Instant::now());
        }
        assert_eq!(all.list().len(), MOST);
        advance(LONGEST).await;
        all.fails((Ipv4Addr::LOCALHOST, 9999).into(), Instant::now());
        assert_eq!(all.list().len(), 1, "the old ones make room");
    }
}
