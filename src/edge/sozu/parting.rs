//! Certificates of ports that become relayed: handshakes that Sōzu has begun there need them to their end.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::request::REQUEST_SECONDS;
use crate::edge::plan::{PortId, Target};

/// No handshake takes longer, here and in the filter proxy.
pub const HANDSHAKE: Duration = Duration::from_secs(REQUEST_SECONDS as u64);

/// Ports that took connections until a moment ago, and are still there for those.
#[derive(Debug, Default)]
pub(super) struct Parting(BTreeMap<PortId, Instant>);

impl Parting {
    /// A target, and what must stay for a while of what was applied before it.
    pub(super) fn prolong(&mut self, applied: &Target, target: &Target) -> Target {
        let is_kept = |port: &PortId| target.ports.contains_key(port) && !target.is_bound(*port);
        self.0.extend(applied.bound().filter(is_kept).map(|port| (port, Instant::now())));
        self.0.retain(|port, since| is_kept(port) && since.elapsed() < HANDSHAKE);
        let mut target = target.clone();
        for (id, certificate) in applied.certificates.iter().filter(|((port, _), _)| self.0.contains_key(port)) {
            target.certificates.insert(id.clone(), certificate.clone());
        }
        target
    }
}
