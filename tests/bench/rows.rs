//! What is measured: the table of rows, and how each is asked for.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::certificates::Authority;
use super::http;
use super::load::{Counted, Http1, Http2};
use super::manifests::{NATIVE, RELAYED};
use super::peers::{LARGE, Server};
use super::rig::Ports;

/// Host of which the filter decides every request.
pub const HOP: &str = "hop.bench.test";
/// Host of the gRPC service.
const GRPC: &str = "grpc.bench.test";
/// The line by which the rule of [`HOP`] matches.
const HOP_LINE: &str = "X-Filtered: yes\r\n";

/// A way through Kakehi.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Native,
    Hop,
    Relay,
}

/// What a request is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A GET that is answered with 64 bytes.
    Small,
    /// The same, each on a connection of its own.
    Fresh,
    /// A GET that is answered with 1 MiB.
    Download,
    /// A POST of 1 MiB.
    Upload,
    /// A unary gRPC call of 64 bytes either way.
    Call,
}

/// One row: the same work for everybody named.
pub struct Row {
    pub name: &'static str,
    pub tls: bool,
    pub http2: bool,
    pub what: What,
    /// Stages, each with what it may cost at most as a multiple of Envoy, if that is laid down.
    pub stages: &'static [(Stage, Option<f64>)],
    /// Peers that can do it.
    pub peers: &'static [&'static str],
}

/// Sōzu alone is the measure of what reading its access log costs: native requests may cost this much of it.
pub const OF_SOZU: f64 = 1.1;

const ALL: &[(Stage, Option<f64>)] = &[(Stage::Native, None), (Stage::Hop, None), (Stage::Relay, None)];
const NATIVE_AND_RELAY: &[(Stage, Option<f64>)] = &[(Stage::Native, Some(0.5)), (Stage::Relay, Some(0.6))];
const RELAY_ALONE: &[(Stage, Option<f64>)] = &[(Stage::Relay, Some(0.6))];
const KEPT: Row = Row { name: "keep-alive", tls: false, http2: false, what: What::Small, stages: ALL, peers: &["envoy", "sozu"] };

/// The table.
pub const ROWS: &[Row] = &[
    Row {
        stages: &[(Stage::Native, Some(0.5)), (Stage::Hop, Some(0.9)), (Stage::Relay, Some(0.6))],
        peers: &["envoy", "sozu", "nginx", "haproxy"],
        ..KEPT
    },
    Row {
        name: "new-connections",
        what: What::Fresh,
        stages: &[(Stage::Native, Some(1.0)), (Stage::Hop, Some(1.0)), (Stage::Relay, Some(1.0))],
        ..KEPT
    },
    Row { name: "download-1MiB", what: What::Download, ..KEPT },
    Row { name: "upload-1MiB", what: What::Upload, ..KEPT },
    Row { name: "tls-keep-alive", tls: true, stages: NATIVE_AND_RELAY, ..KEPT },
    Row {
        name: "tls-new-connections",
        tls: true,
        what: What::Fresh,
        stages: &[(Stage::Native, Some(1.0)), (Stage::Relay, Some(1.0))],
        ..KEPT
    },
    Row { name: "tls-h2", tls: true, http2: true, stages: NATIVE_AND_RELAY, ..KEPT },
    Row { name: "h2c", http2: true, stages: RELAY_ALONE, peers: &["envoy"], ..KEPT },
    Row { name: "grpc", http2: true, what: What::Call, stages: RELAY_ALONE, peers: &["envoy"], ..KEPT },
];

/// The load of one subject.
#[derive(Clone)]
pub enum Load {
    Http1(Http1),
    Http2(Http2),
}

impl Load {
    /// Runs it for `length`.
    ///
    /// # Errors
    /// When h2load is not there or says nothing that is understood.
    pub async fn run(self, length: Duration) -> io::Result<Counted> {
        match self {
            Self::Http1(load) => Ok(load.run(length).await),
            Self::Http2(load) => load.run(length).await,
        }
    }
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Hop => "hop",
            Self::Relay => "relay",
        }
    }

    fn host(self) -> &'static str {
        match self {
            Self::Native => NATIVE,
            Self::Hop => HOP,
            Self::Relay => RELAYED,
        }
    }
}

impl Row {
    /// How Kakehi is asked.
    pub fn ours(&self, stage: Stage, ports: Ports, authority: &Authority) -> Load {
        let address = match (stage, self.tls) {
            (Stage::Relay, true) => ports.relay_tls,
            (Stage::Relay, false) => ports.relay,
            (Stage::Native | Stage::Hop, true) => ports.https,
            (Stage::Native | Stage::Hop, false) => ports.http,
        };
        self.load(address, stage.host(), if stage == Stage::Hop { HOP_LINE } else { "" }, authority)
    }

    /// How a peer is asked.
    pub fn peer(&self, server: &Server, authority: &Authority) -> Load {
        self.load(if self.tls { server.second } else { server.address }, NATIVE, "", authority)
    }

    fn load(&self, address: SocketAddr, host: &str, lines: &str, authority: &Authority) -> Load {
        if self.http2 {
            let (host, path) = if self.what == What::Call { (GRPC, "/bench.Echo/Say") } else { (host, "/") };
            let call = self.what == What::Call;
            // A message is one byte and its length, then its bytes.
            let body = call.then(|| [&[0, 0, 0, 0, 64][..], &[b'x'; 64]].concat());
            let headers = if call { vec!["content-type: application/grpc".to_owned(), "te: trailers".to_owned()] } else { Vec::new() };
            return Load::Http2(Http2 { address, tls: self.tls, host: host.to_owned(), path: path.to_owned(), body, headers });
        }
        let request = match self.what {
            What::Download => http::get(host, "/large", lines),
            What::Upload => http::post(host, "/upload", lines, &vec![b'x'; LARGE]),
            What::Small | What::Fresh | What::Call => http::get(host, "/", lines),
        };
        let tls = self.tls.then(|| (host.to_owned(), authority.connector()));
        Load::Http1(Http1 { address, tls, request, fresh: self.what == What::Fresh })
    }
}
