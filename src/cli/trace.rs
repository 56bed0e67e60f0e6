//! `kakehi trace URL`: why a request goes where it goes, by a directory of manifests or a running instance.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;

use super::telling::print;
use crate::edge::plan;
use crate::model::EdgeId;
use crate::settings::{Output, TraceSettings};
use crate::snapshot::{Resource, Snapshot};
use crate::standalone;
use crate::trace::{self, Progress, Request, Trace};

/// How long a running instance may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything that is known of an edge.
struct Edge {
    snapshot: Snapshot,
    options: plan::Options,
    /// None of a directory.
    progress: Option<Progress>,
}

/// Prints what becomes of the request on every edge that listens on its port.
pub(super) fn run(settings: &TraceSettings) -> anyhow::Result<ExitCode> {
    let mut request = Request::parse(&settings.url, &settings.method, &settings.header)?;
    if settings.no_sni {
        request.server_name = None;
    }
    let mut edges: BTreeMap<EdgeId, Edge> = match &settings.directory {
        Some(directory) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().cast_signed();
            let meaning = standalone::translate(directory, &settings.manifests, now)?;
            let options = settings.manifests.plan_options();
            meaning
                .edges
                .into_iter()
                .map(|(id, edge)| (id, Edge { snapshot: edge.snapshot.for_people(), options, progress: None }))
                .collect()
        }
        None => fetch(settings.admin).with_context(|| format!("cannot ask the instance at {}", settings.admin))?,
    };
    if let Some(wanted) = &settings.edge {
        edges.retain(|id, _| id == wanted);
    }
    let ports = || edges.iter().map(|(id, edge)| format!("{id} ({})", trace::ports(&edge.snapshot).join(", "))).collect::<Vec<_>>();
    let listening = edges.iter().filter(|(_, edge)| trace::listens(&edge.snapshot, &request));
    let traces: BTreeMap<String, Trace> = listening.map(|(id, edge)| (id.to_string(), edge.trace(&request))).collect();
    if traces.is_empty() {
        bail!("no edge listens for {request}; edges: {}", ports().join(", "));
    }
    match settings.output {
        Output::Json => {
            let asked = json!({"method": request.method, "target": request.target, "host": request.host, "port": request.port});
            print(&format!("{:#}\n", json!({"request": asked, "edges": traces})))?;
        }
        Output::Text => {
            let edges: String = traces.iter().map(|(edge, trace)| format!("\nedge {edge}\n{trace}")).collect();
            print(&format!("{request}\n{edges}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Edge {
    fn trace(&self, request: &Request) -> Trace {
        let trace = trace::trace(&self.snapshot, self.options, request);
        match &self.progress {
            Some(progress) => trace.with(progress),
            None => trace,
        }
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
async fn fetch(admin: SocketAddr) -> anyhow::Result<BTreeMap<EdgeId, Edge>> {
    let body = tokio::time::timeout(PATIENCE, get(admin, "/debug/snapshot")).await??;
    let pages: BTreeMap<String, Page> = serde_json::from_slice(&body)?;
    let edge = |(id, Page { options, snapshot, progress }): (String, Page)| {
        let snapshot = Snapshot::from_resources(snapshot.resources);
        Ok((id.parse()?, Edge { snapshot, options, progress: Some(progress) }))
    };
    pages.into_iter().map(edge).collect()
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
