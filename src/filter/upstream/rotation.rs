//! In which order the endpoints of a backend are tried.

use std::net::IpAddr;
use std::rc::Rc;

use tokio::time::Instant;

use super::{Pool, Slot, affinity};
use crate::model::{Affinity, Backend, BackendProtocol, Endpoint};

/// The endpoints of a backend from a random one on, or as its client ranks them; those that refused a moment ago come last.
pub(super) struct Rotation<'a> {
    pool: &'a Pool,
    protocol: BackendProtocol,
    /// The next one last.
    ranked: Vec<Endpoint>,
    ahead: &'a [Endpoint],
    behind: &'a [Endpoint],
    late: Vec<Rc<Slot>>,
}

impl<'a> Rotation<'a> {
    pub(super) fn new(pool: &'a Pool, backend: &'a Backend, client: Option<IpAddr>) -> Self {
        let all = backend.endpoints.as_slice();
        if let Some(client) = client.filter(|_| backend.affinity == Affinity::ClientIp) {
            let ranked = affinity::ranked(client, all);
            return Self { pool, protocol: backend.protocol, ranked, ahead: &[], behind: &[], late: Vec::new() };
        }
        let start = if all.len() > 1 { rand::random_range(0..all.len()) } else { 0 };
        let (behind, ahead) = all.split_at_checked(start).unwrap_or((&[], all));
        Self { pool, protocol: backend.protocol, ranked: Vec::new(), ahead, behind, late: Vec::new() }
    }
}

impl Iterator for Rotation<'_> {
    type Item = Rc<Slot>;

    fn next(&mut self) -> Option<Rc<Slot>> {
        loop {
            let endpoint = match (self.ranked.pop(), self.ahead.split_first()) {
                (Some(endpoint), _) => endpoint,
                (None, Some((endpoint, rest))) => {
                    self.ahead = rest;
                    *endpoint
                }
                (None, None) if self.behind.is_empty() => return self.late.pop(),
                (None, None) => {
                    self.ahead = std::mem::take(&mut self.behind);
                    continue;
                }
            };
            let slot = self.pool.slot(endpoint, self.protocol);
            if slot.down.get().is_some_and(|until| until > Instant::now()) {
                self.late.push(slot);
                continue;
            }
            return Some(slot);
        }
    }
}
