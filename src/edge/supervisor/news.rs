//! What the filter proxy is told of a change.
//!
//! Of certificates it gets only those of relayed ports: private keys are none of its business while Sōzu ends TLS.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::edge::plan::Planner;
use crate::edge::sozu::HANDSHAKE;
use crate::model::CertificateId;
use crate::snapshot::{Delta, Key, Resource, Snapshot};

/// Certificates that the filter may no longer need, and since when.
#[derive(Debug, Default)]
pub(super) struct Obsolete(BTreeMap<CertificateId, Instant>);

impl Obsolete {
    /// Has the planner follow a change to a snapshot: what the filter must be told of it. Certificates that it no longer needs stay with it
    /// for now.
    pub(super) fn news(&mut self, planner: &mut Planner, delta: &Delta, snapshot: Snapshot) -> Delta {
        let before = planner.target().relayed.clone();
        planner.follow(delta, snapshot);
        let (relayed, snapshot) = (&planner.target().relayed, planner.snapshot());
        let mut news = without_certificates(delta);
        let touched = delta.keys().filter_map(|key| if let Key::Certificate(id) = key { Some(id) } else { None });
        let changed: BTreeSet<CertificateId> = touched.chain(before.clone().symmetric_difference(relayed.clone())).collect();
        for id in changed {
            match snapshot.get(&Key::Certificate(id.clone())) {
                Some(certificate) if relayed.contains(&id) => news.set.push(certificate.clone()),
                _ => {
                    self.0.entry(id).or_insert_with(Instant::now);
                }
            }
        }
        news
    }

    /// What to take from the filter now: no handshake that was begun with it goes on any more.
    pub(super) fn due(&mut self, planner: &Planner) -> Delta {
        let (relayed, snapshot) = (&planner.target().relayed, planner.snapshot());
        let is_needed = |id: &CertificateId| relayed.contains(id) && snapshot.get(&Key::Certificate(id.clone())).is_some();
        self.0.retain(|id, _| !is_needed(id));
        let due = self.0.extract_if(.., |_, since| since.elapsed() > HANDSHAKE).map(|(id, _)| Key::Certificate(id));
        Delta { set: Vec::new(), remove: due.collect() }
    }
}

/// A change without its certificates.
fn without_certificates(delta: &Delta) -> Delta {
    let set = delta.set.iter().filter(|resource| !matches!(***resource, Resource::Certificate(_))).cloned().collect();
    let remove = delta.remove.iter().filter(|key| !matches!(key, Key::Certificate(_))).cloned().collect();
    Delta { set, remove }
}
