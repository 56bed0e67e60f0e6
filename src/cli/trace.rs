//! `kakehi trace URL`: why a request goes where it goes, by a directory of manifests or a running instance.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde::Deserialize;

use super::telling::print;
use crate::edge::plan;
use crate::edge::reach::{MOST_BACKENDS, Reach};
use crate::model::EdgeId;
use crate::settings::{Output, TraceSettings};
use crate::snapshot::{Resource, Snapshot};
use crate::trace::{self, Expected, Outcome, Progress, Reports, Request, Trace};
use crate::{standalone, translate};

/// How long a running instance may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Exit status when the answer is not the expected one (`--expect`).
const UNEXPECTED: u8 = 3;

/// Everything that is known of an edge.
struct Edge {
    snapshot: Snapshot,
    options: plan::Options,
    /// None of a directory.
    progress: Option<Progress>,
}

/// Everything that is known.
struct World {
    edges: BTreeMap<EdgeId, Edge>,
    reports: Reports,
}

/// Prints what becomes of the request on every edge that has its port.
pub(super) fn run(settings: &TraceSettings) -> anyhow::Result<ExitCode> {
    let mut request = Request::parse(&settings.url, &settings.method, &settings.header)?;
    if settings.no_sni {
        request.server_name = None;
    }
    let world = match &settings.directory {
        Some(directory) => World::read(directory, settings)?,
        None => fetch(settings.admin).with_context(|| format!("cannot ask the instance at {}", settings.admin))?,
    };
    let mut traces = world.traces(&request, settings.edge.as_ref());
    if settings.directory.is_none() {
        reaching(settings.admin, &mut traces);
    }
    if traces.is_empty() {
        let edges = world.edges.iter().filter(|(id, _)| settings.edge.as_ref().is_none_or(|wanted| wanted == *id));
        let ports = edges.map(|(id, edge)| format!("{id} ({})", trace::ports(&edge.snapshot).join(", ")));
        let told = format!("no edge listens for {request}; edges: {}", ports.collect::<Vec<_>>().join(", "));
        let code = verdict(settings, &traces);
        if settings.expect.is_none() && !settings.exit_status {
            bail!(told);
        }
        eprintln!("kakehi: {told}");
        return Ok(code);
    }
    match settings.output {
        Output::Json => print(&format!("{:#}\n", trace::page(&request, &traces)))?,
        Output::Text => {
            let edges: String = traces.iter().map(|(edge, trace)| format!("\nedge {edge}\n{trace}")).collect();
            print(&format!("{request}\n{edges}"))?;
        }
    }
    Ok(verdict(settings, &traces))
}

/// The exit status. Without an edge that has the port there is no connection.
fn verdict(settings: &TraceSettings, traces: &BTreeMap<String, Trace>) -> ExitCode {
    if let Some(expected) = settings.expect {
        let meets = if traces.is_empty() { expected == Expected::Unanswered } else { traces.values().all(|trace| trace.meets(expected)) };
        return if meets { ExitCode::SUCCESS } else { ExitCode::from(UNEXPECTED) };
    }
    let worst = traces.values().map(Trace::outcome).max().unwrap_or(Outcome::Unanswered);
    match worst {
        _ if !settings.exit_status => ExitCode::SUCCESS,
        Outcome::Served => ExitCode::SUCCESS,
        Outcome::Refused => ExitCode::from(4),
        Outcome::Failed => ExitCode::from(5),
        Outcome::Unanswered => ExitCode::from(6),
    }
}

impl World {
    fn read(directory: &Path, settings: &TraceSettings) -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().cast_signed();
        let meaning = standalone::translate(directory, &settings.manifests, now)?;
        let reports = serde_json::from_value(meaning.reports_page())?;
        let options = settings.manifests.plan_options();
        let edge = |(id, edge): (EdgeId, translate::Edge)| (id, Edge { snapshot: edge.snapshot.for_people(), options, progress: None });
        Ok(Self { edges: meaning.edges.into_iter().map(edge).collect(), reports })
    }

    /// The traces on the edges that have the port, or on `wanted` alone.
    fn traces(&self, request: &Request, wanted: Option<&EdgeId>) -> BTreeMap<String, Trace> {
        let edges = self.edges.iter().map(|(id, edge)| (id.clone(), (edge.snapshot.clone(), edge.options))).collect();
        let mut traces = trace::traces(&edges, &self.reports, request);
        traces.retain(|id, _| wanted.is_none_or(|wanted| wanted.to_string() == *id));
        for (id, edge) in &self.edges {
            let traced = edge.progress.as_ref().and_then(|progress| Some((progress, traces.remove_entry(&id.to_string())?)));
            if let Some((progress, (id, trace))) = traced {
                traces.insert(id, trace.with(progress));
            }
        }
        traces
    }
}

/// An edge on the page `/debug/snapshot`.
#[derive(Deserialize)]
struct Page {
    options: plan::Options,
    snapshot: Resources,
    #[serde(flatten)]
    progress: Progress,
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[tokio::main(flavor = "current_thread")]
async fn fetch(admin: SocketAddr) -> anyhow::Result<World> {
    let (snapshot, report) =
        tokio::time::timeout(PATIENCE, async { tokio::try_join!(get(admin, "/debug/snapshot"), get(admin, "/debug/report")) }).await??;
    let pages: BTreeMap<String, Page> = serde_json::from_slice(&snapshot)?;
    let edge = |(id, Page { options, snapshot, progress }): (String, Page)| {
        let snapshot = Snapshot::from_resources(snapshot.resources);
        anyhow::Ok((id.parse()?, Edge { snapshot, options, progress: Some(progress) }))
    };
    Ok(World { edges: pages.into_iter().map(edge).collect::<Result<_, _>>()?, reports: serde_json::from_slice(&report)? })
}

/// Adds what the edges know of endpoints that do not answer. An instance that does not tell knows nothing: edges on a cluster are in
/// pods of their own.
fn reaching(admin: SocketAddr, traces: &mut BTreeMap<String, Trace>) {
    let backends: BTreeSet<_> = traces.values().flat_map(Trace::backends).collect();
    if backends.is_empty() {
        return;
    }
    let backends: Vec<_> = backends.iter().take(MOST_BACKENDS).map(|backend| format!("backend={backend}")).collect();
    let known = endpoints(admin, &backends.join("&")).inspect_err(|error| tracing::debug!(%error, "endpoints are not known of"));
    for (edge, reach) in known.unwrap_or_default() {
        if let Some((edge, trace)) = traces.remove_entry(&edge) {
            traces.insert(edge, trace.reaching(&reach));
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn endpoints(admin: SocketAddr, backends: &str) -> anyhow::Result<BTreeMap<String, Reach>> {
    let page = tokio::time::timeout(PATIENCE, get(admin, &format!("/debug/endpoints?{backends}"))).await??;
    Ok(serde_json::from_slice(&page)?)
}

async fn get(admin: SocketAddr, path: &str) -> anyhow::Result<bytes::Bytes> {
    let stream = tokio::net::TcpStream::connect(admin).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connected = tokio::spawn(connection);
    let request = http::Request::get(path).header(http::header::HOST, admin.to_string()).body(Empty::<bytes::Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    drop(sender);
    connected.await??;
    if !status.is_success() {
        bail!("{path} answers {status}");
    }
    Ok(body)
}
