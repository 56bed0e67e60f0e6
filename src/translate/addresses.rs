//! Which addresses are those of Services, and which EndpointSlices name them: a hand-written slice must not lead past the
//! grants that a reference to the Service would need.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::facts::{Body, Fact, range_of, reached};
use super::reader::Read;
use super::rendering::release;
use crate::model::ObjectId;

/// Addresses of Services and of endpoints.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Those of Services, with the number of Services.
    services: BTreeMap<IpAddr, usize>,
    /// Those of endpoints, with the range of each slice that names it.
    endpoints: HashMap<IpAddr, Vec<Arc<Read>>>,
}

impl Addresses {
    /// Whether an address is one of a Service.
    pub(super) fn is_of_service(&self, ip: IpAddr) -> bool {
        self.services.contains_key(&reached(ip))
    }

    /// Takes a changed Service or slice in. Returns what reads differently now.
    pub(super) fn apply(&mut self, id: &ObjectId, old: Option<&Fact>, new: Option<&Fact>) -> Vec<Read> {
        self.apply_slice(id, old, new);
        let of = |fact: Option<&Fact>| match fact.map(|fact| &fact.body) {
            Some(Body::Service(service)) => service.cluster_ips.iter().map(|ip| reached(*ip)).collect::<BTreeSet<_>>(),
            _ => BTreeSet::new(),
        };
        let (old, new) = (of(old), of(new));
        for ip in &new {
            *self.services.entry(*ip).or_default() += 1;
        }
        for ip in &old {
            release(&mut self.services, ip);
        }
        let changed = old.symmetric_difference(&new);
        let ranges = |ip: &IpAddr| self.endpoints.get(ip).into_iter().flatten().map(|range| Read::clone(range)).collect::<Vec<_>>();
        changed.flat_map(|ip| ranges(ip).into_iter().chain([Read::ClusterAddress(*ip)])).collect()
    }

    fn apply_slice(&mut self, id: &ObjectId, old: Option<&Fact>, new: Option<&Fact>) {
        for (ip, range) in old.into_iter().flat_map(|fact| endpoints(id, fact)) {
            let Some(ranges) = self.endpoints.get_mut(&ip) else { continue };
            if let Some(place) = ranges.iter().position(|of| *of == range) {
                ranges.swap_remove(place);
            }
            if ranges.is_empty() {
                self.endpoints.remove(&ip);
            }
        }
        for (ip, range) in new.into_iter().flat_map(|fact| endpoints(id, fact)) {
            self.endpoints.entry(ip).or_default().push(range);
        }
    }

    /// Whether no address is known.
    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty() && self.endpoints.is_empty()
    }
}

/// The addresses of a slice, each once, with the range that reads it.
fn endpoints(id: &ObjectId, fact: &Fact) -> Vec<(IpAddr, Arc<Read>)> {
    let (Body::Slice(slice), Some(range)) = (&fact.body, range_of(id, fact)) else { return Vec::new() };
    let range = Arc::new(range);
    let ips: BTreeSet<_> = slice.endpoints.iter().map(|(ip, _)| reached(*ip)).collect();
    ips.into_iter().map(|ip| (ip, range.clone())).collect()
}
