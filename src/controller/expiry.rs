//! When certificates end, as series: a bounded number of them, however many a namespace has.

use std::collections::BTreeMap;

use super::world::World;
use crate::model::{CertificateId, EdgeId};
use crate::observe::metrics::Metrics;

/// Series for one namespace, and in all.
const MOST: (usize, usize) = (20, 2000);

/// Sets the gauges of certificates.
pub(super) fn refresh(world: &World, metrics: &Metrics) {
    metrics.certificates.reset();
    metrics.certificate_expiry.reset();
    let mut ends = Vec::new();
    for (edge, publisher) in &world.edges {
        let snapshot = publisher.current().1;
        let before = ends.len();
        ends.extend(snapshot.certificates().map(|certificate| (certificate.not_after, edge.clone(), certificate.id.clone())));
        let count = i64::try_from(ends.len() - before).unwrap_or(i64::MAX);
        metrics.certificates.with_label_values(&[edge.to_string()]).set(count);
    }
    for (end, edge, id) in first(ends) {
        metrics.certificate_expiry.with_label_values(&[&edge.to_string(), &id.namespace, &id.name]).set(end);
    }
}

type End = (i64, EdgeId, CertificateId);

/// Those that end first. The certificates of one namespace push out none of others.
fn first(mut ends: Vec<End>) -> Vec<End> {
    ends.sort();
    let mut of: BTreeMap<String, usize> = BTreeMap::new();
    ends.retain(|(_, _, id)| {
        let count = of.entry(id.namespace.clone()).or_default();
        *count += 1;
        *count <= MOST.0
    });
    ends.truncate(MOST.1);
    ends
}

#[cfg(test)]
mod tests {
    use super::{MOST, first};
    use crate::model::{CertificateId, EdgeId};

    #[test]
    fn one_namespace_cannot_push_out_the_certificates_of_others() {
        let end = |end: i64, namespace: &str, name: usize| {
            let edge = EdgeId { namespace: "n".into(), name: "e".into() };
            (end, edge, CertificateId { namespace: namespace.into(), name: format!("c{name}") })
        };
        let many = (0..5000).map(|number| end(1, "greedy", number)).chain([end(9, "other", 0), end(5, "other", 1)]).collect();
        let shown = first(many);
        assert_eq!(shown.len(), MOST.0 + 2);
        let others: Vec<_> = shown.iter().filter(|(_, _, id)| id.namespace == "other").map(|(end, ..)| *end).collect();
        assert_eq!(others, [5, 9]);
        let spread = (0..MOST.1 + 10).map(|number| end(1, &format!("n{number}"), 0)).collect();
        assert_eq!(first(spread).len(), MOST.1);
    }
}
