//! Whether a Sōzu that runs already holds what a target asks for, by what it answers on its command socket.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use sozu_command_lib::proto::command::request::RequestType;
use sozu_command_lib::proto::command::response_content::ContentType;
use sozu_command_lib::proto::command::{ListListeners, QueryCertificatesFilters, QueryClustersHashes};

use super::instance::Instance;
use super::steps::steps;
use super::{Error, Order, Shadow, Wire};
use crate::edge::plan::Target;

/// The shadow of a Sōzu that holds all of a target and nothing else; none when even the shadow refuses some of it.
pub(super) fn expected(wire: Wire, target: &Target) -> Result<Option<Shadow>, Error> {
    let mut shadow = Shadow::new(wire);
    for step in steps(&shadow, target, Order::Kept)? {
        if shadow.take(&step).is_err() {
            return Ok(None);
        }
    }
    shadow.settle(target.clone());
    Ok(Some(shadow))
}

/// Whether a Sōzu, its main process and every worker, holds what a shadow does, and nothing else.
pub(super) async fn holds(instance: &mut Instance, shadow: &Shadow) -> Result<bool, Error> {
    let state = shadow.state();
    let reply = instance.command(RequestType::ListListeners(ListListeners {})).await?;
    if !matches!(reply.content, Some(ContentType::ListenersList(list)) if list == state.list_listeners()) {
        return Ok(false);
    }
    let all = QueryCertificatesFilters::default();
    let reply = instance.command(RequestType::QueryCertificatesFromTheState(all.clone())).await?;
    let certificates = state.get_certificates(all.clone());
    if !matches!(reply.content, Some(ContentType::CertificatesWithFingerprints(held)) if held.certs == certificates) {
        return Ok(false);
    }
    let reply = instance.command(RequestType::QueryCertificatesFromWorkers(all)).await?;
    let Some(ContentType::WorkerResponses(responses)) = reply.content else { return Ok(false) };
    let shown = shown(shadow);
    for response in responses.map.into_values() {
        let Some(ContentType::CertificatesByAddress(list)) = response.content_type else { return Ok(false) };
        let held = list.certificates.into_iter().flat_map(|of| {
            let address = SocketAddr::from(of.address);
            of.certificate_summaries.into_iter().map(move |summary| (address, summary.domain))
        });
        if held.collect::<BTreeSet<_>>() != shown {
            return Ok(false);
        }
    }
    let expected = shadow.hashes(state.clusters.keys().map(|id| &**id));
    let is_all = |hashes: &BTreeMap<String, u64>| hashes.len() == expected.len() && agree(hashes, &expected);
    Ok(hashes(instance).await?.is_some_and(|workers| workers.iter().all(is_all)))
}

/// The names for which a shadow's listeners have certificates.
fn shown(shadow: &Shadow) -> BTreeSet<(SocketAddr, String)> {
    let certificates = &shadow.applied().certificates;
    let names = certificates.iter().flat_map(|((port, _), held)| held.names.iter().map(|name| (shadow.wire().address(*port), name)));
    names.map(|(address, name)| (address, name.to_ascii_lowercase())).collect()
}

/// What every worker says that it holds: the hash of each of its clusters, backends and frontends with it. None when one does
/// not say.
pub(super) async fn hashes(instance: &mut Instance) -> Result<Option<Vec<BTreeMap<String, u64>>>, Error> {
    let reply = instance.command(RequestType::QueryClustersHashes(QueryClustersHashes {})).await?;
    let Some(ContentType::WorkerResponses(responses)) = reply.content else { return Ok(None) };
    let workers = responses.map.into_values().map(|response| match response.content_type {
        Some(ContentType::ClusterHashes(hashes)) => Some(hashes.map),
        _ => None,
    });
    Ok(workers.collect())
}

/// Whether a worker's hashes of these clusters are such as they may be; a cluster that may have none must not be there.
pub(super) fn agree(hashes: &BTreeMap<String, u64>, expected: &BTreeMap<String, BTreeSet<u64>>) -> bool {
    expected.iter().all(|(cluster, possible)| match hashes.get(cluster) {
        Some(hash) => possible.contains(hash),
        None => possible.is_empty(),
    })
}
