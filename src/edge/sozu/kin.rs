//! What the Sōzus of one edge know of each other: twins that serve the same ports.
//!
//! The kernel gives each new connection to one of the sockets that listen on an address, and to those that are left when one closes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::timeout;

/// Names of twins, and of their directories below the one that they share.
pub const TWINS: [&str; 2] = ["a", "b"];

/// Directory of the twin called `name`, below the one that twins share.
pub fn dir_of(shared: &Path, name: &str) -> PathBuf {
    shared.join(name)
}

/// One of the Sōzus of an edge, as its siblings see it.
#[derive(Clone, Debug)]
pub struct Kin {
    name: &'static str,
    /// Held by the one that is replaced although it serves: the others serve meanwhile.
    turn: Arc<Mutex<()>>,
    /// Ports that each may listen on. None where it is not known: it ran before we came.
    ports: watch::Sender<BTreeMap<&'static str, Option<BTreeSet<u16>>>>,
    away: watch::Sender<bool>,
}

impl Kin {
    /// So many twins, at least one. Those that were `found` may listen on any port.
    pub fn family(number: usize, found: bool) -> Vec<Self> {
        let turn = Arc::new(Mutex::new(()));
        let names = TWINS.into_iter().take(number.max(1));
        let ports = watch::Sender::new(names.clone().map(|name| (name, (!found).then(BTreeSet::new))).collect());
        names.map(|name| Self { name, turn: turn.clone(), ports: ports.clone(), away: watch::Sender::new(false) }).collect()
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the process is being replaced.
    pub fn away(&self) -> watch::Receiver<bool> {
        self.away.subscribe()
    }

    pub(super) fn is_away(&self, away: bool) {
        self.away.send_if_modified(|before| std::mem::replace(before, away) != away);
    }

    /// Waits until no sibling is being replaced; then none is while this is held, unless it died.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// The same for one that died: it waits for none.
    pub(super) fn turn_if_free(&self) -> Option<OwnedMutexGuard<()>> {
        self.turn.clone().try_lock_owned().ok()
    }

    /// It is about to listen on this port.
    pub(super) fn claim(&self, port: u16) {
        self.ports.send_modify(|ports| {
            if let Some(own) = ports.entry(self.name).or_insert_with(|| Some(BTreeSet::new())) {
                own.insert(port);
            }
        });
    }

    /// It listens on these ports and no others.
    pub(super) fn listens(&self, on: BTreeSet<u16>) {
        self.ports.send_modify(|ports| drop(ports.insert(self.name, Some(on))));
    }

    /// Waits until it is known of each sibling on which ports it listens, at most for `within`.
    pub(super) async fn known(&self, within: Duration) {
        let mut ports = self.ports.subscribe();
        let known = ports.wait_for(|ports| ports.iter().all(|(name, held)| *name == self.name || held.is_some()));
        if timeout(within, known).await.is_err() {
            tracing::debug!(name = self.name, "a sibling has not said on which ports it listens");
        }
    }

    /// Whether a sibling may listen on a port.
    pub(super) fn is_shared(&self, port: u16) -> bool {
        let ports = self.ports.borrow();
        ports.iter().any(|(name, held)| *name != self.name && held.as_ref().is_none_or(|held| held.contains(&port)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::Kin;

    #[tokio::test]
    async fn a_port_of_a_sibling_is_no_strangers_and_one_at_a_time_is_replaced() {
        let family = Kin::family(2, false);
        let [a, b] = family.as_slice() else { unreachable!() };
        a.claim(80);
        assert!(b.is_shared(80) && !a.is_shared(80) && !b.is_shared(81));
        a.listens([81].into());
        assert!(!b.is_shared(80) && b.is_shared(81));

        let turn = a.turn().await;
        assert!(b.turn_if_free().is_none());
        assert!(timeout(Duration::from_millis(20), b.turn()).await.is_err(), "one that serves waits");
        drop(turn);
        assert!(b.turn_if_free().is_some());
    }

    #[test]
    fn one_that_was_found_may_listen_anywhere_until_it_is_known() {
        let family = Kin::family(2, true);
        let [a, b] = family.as_slice() else { unreachable!() };
        assert!(b.is_shared(80));
        a.listens([81].into());
        assert!(!b.is_shared(80));
        assert!(!Kin::family(1, true)[0].is_shared(80), "it has no sibling");
    }
}
