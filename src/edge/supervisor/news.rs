//! What the filter proxy is told of a change.
//!
//! It gets whole certificates of relayed ports only: private keys are none of its business while Sōzu ends TLS. Of those that
//! Sōzu shows by name it gets the names, to refuse hosts without a certificate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
        let (relayed, named) = (planner.target().relayed.clone(), planner.target().named.clone());
        planner.follow(delta, snapshot);
        let target = planner.target();
        let mut news = without_certificates(delta);
        let touched = delta.keys().filter_map(|key| if let Key::Certificate(id) = key { Some(id) } else { None });
        let moved = relayed.clone().symmetric_difference(target.relayed.clone()).union(named.symmetric_difference(target.named.clone()));
        let changed: BTreeSet<CertificateId> = touched.chain(moved).collect();
        for id in changed {
            // Handshakes that were begun with it may go on.
            let is_shown = relayed.contains(&id) || self.0.contains_key(&id);
            let named = |_: &&Arc<Resource>| target.named.contains(&id);
            match held(planner, &id) {
                Some(certificate) if target.relayed.contains(&id) => news.set.push(certificate.clone()),
                certificate if is_shown => {
                    news.set.extend(certificate.filter(named).cloned());
                    self.0.entry(id).or_insert_with(Instant::now);
                }
                Some(certificate) if named(&certificate) => news.set.push(names_of(certificate)),
                _ => news.remove.push(Key::Certificate(id)),
            }
        }
        news
    }

    /// What to take from the filter now: no handshake that was begun with it goes on any more.
    pub(super) fn due(&mut self, planner: &Planner) -> Delta {
        let target = planner.target();
        self.0.retain(|id, _| !(target.relayed.contains(id) && held(planner, id).is_some()));
        let mut due = Delta::default();
        for (id, _) in self.0.extract_if(.., |_, since| since.elapsed() > HANDSHAKE) {
            match held(planner, &id).filter(|_| target.named.contains(&id)) {
                Some(certificate) => due.set.push(names_of(certificate)),
                None => due.remove.push(Key::Certificate(id)),
            }
        }
        due
    }
}

/// A certificate of the snapshot.
fn held<'a>(planner: &'a Planner, id: &CertificateId) -> Option<&'a Arc<Resource>> {
    planner.snapshot().get(&Key::Certificate(id.clone()))
}

fn names_of(resource: &Arc<Resource>) -> Arc<Resource> {
    match &**resource {
        Resource::Certificate(certificate) => Arc::new(Resource::Certificate(certificate.without_key())),
        _ => resource.clone(),
    }
}

/// A change without its certificates.
fn without_certificates(delta: &Delta) -> Delta {
    let set = delta.set.iter().filter(|resource| !matches!(***resource, Resource::Certificate(_))).cloned().collect();
    let remove = delta.remove.iter().filter(|key| !matches!(key, Key::Certificate(_))).cloned().collect();
    Delta { set, remove }
}
