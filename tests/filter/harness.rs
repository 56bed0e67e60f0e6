//! A running proxy on a unix socket, fed by a real publisher, and the values it is fed with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use kakehi::filter::{self, Limits, Listen, Settings, Shared};
use kakehi::model::{
    Action, Attachment, Backend, BackendId, BackendProtocol, BackendRef, BackendTarget, Endpoint, Filter, Hostname, Kind, Listener,
    ListenerName, Match, ObjectId, PathMatch, Protocol, Route, Rule,
};
use kakehi::snapshot::publish::Publisher;
use kakehi::snapshot::wire::Ack;
use kakehi::snapshot::{Resource, Snapshot};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// The port that requests of these tests claim to have come in by.
pub const PORT: u16 = 8080;
/// A proxy on a busy machine begins its answer within this.
const FIRST: Duration = Duration::from_secs(10);

/// A running proxy. Dropping it stops it.
pub struct Proxy {
    pub socket: PathBuf,
    pub shared: Arc<Shared>,
    /// Where it looks for a publisher.
    pub snapshot: PathBuf,
    publisher: Publisher,
    serving: tokio::task::JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Proxy {
    /// Starts with these resources, and waits until they are acknowledged.
    pub async fn start(resources: impl IntoIterator<Item = Resource>) -> Self {
        Self::start_with(Limits::default(), resources).await
    }

    /// The same with limits.
    pub async fn start_with(limits: Limits, resources: impl IntoIterator<Item = Resource>) -> Self {
        let mut proxy = Self::start_unfed(limits, Publisher::new(1));
        proxy.feed();
        proxy.publish(resources).await;
        proxy
    }

    /// Starts without anybody listening at the publisher's place.
    pub fn start_unfed(limits: Limits, publisher: Publisher) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (socket, snapshot) = (dir.path().join("hop"), dir.path().join("snapshot"));
        let listen = Listen::Unix(socket.clone());
        let settings = Settings {
            snapshot: snapshot.clone(),
            listen,
            report: Some(dir.path().join("report.sock")),
            relay: Some(Listen::Unix(dir.path().join("relay"))),
            workers: 1,
            drain: Duration::from_secs(2),
        };
        let shared = Shared::new(limits);
        let (stop, stopped) = oneshot::channel::<()>();
        let own = shared.clone();
        let thread = std::thread::spawn(move || {
            let stop = async {
                let _ = stopped.await;
                filter::Farewell::Serve
            };
            filter::run(&settings, &own, stop, std::future::pending()).unwrap();
        });
        let serving = tokio::spawn(async {});
        Self { socket, shared, snapshot, publisher, serving, stop: Some(stop), thread: Some(thread), _dir: dir }
    }

    /// Ends the publisher, with its connection, and starts another one of a later epoch with these resources.
    pub async fn replace_publisher(&mut self, resources: impl IntoIterator<Item = Resource>) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
        std::fs::remove_file(&self.snapshot).unwrap();
        self.publisher = Publisher::new(2);
        self.publisher.publish(&Snapshot::from_resources(resources).as_delta());
        self.serving = serve_snapshots(&self.publisher, &self.snapshot);
    }

    /// Starts what [`Proxy::start_unfed`] left out.
    pub fn feed(&mut self) {
        self.serving = serve_snapshots(&self.publisher, &self.snapshot);
    }

    /// Asks the proxy to stop, without waiting for it.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Makes these resources the whole snapshot; returns when the proxy has acknowledged it.
    pub async fn publish(&self, resources: impl IntoIterator<Item = Resource>) -> Ack {
        let delta = self.publisher.current().1.diff(&Snapshot::from_resources(resources));
        let mut acks = self.publisher.acks();
        let stamp = self.publisher.publish(&delta);
        let acked = acks.wait_for(|ack| ack.as_ref().is_some_and(|ack| ack.stamp >= stamp));
        tokio::time::timeout(Duration::from_secs(10), acked).await.expect("no ack within 10 s").unwrap().clone().unwrap()
    }

    /// A new connection to the proxy.
    pub async fn connect(&self) -> UnixStream {
        for _ in 0..200 {
            if let Ok(stream) = UnixStream::connect(&self.socket).await {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the proxy does not listen");
    }

    /// An HTTP/1.1 client on a connection of its own.
    pub async fn client(&self) -> http1::SendRequest<Full<Bytes>> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.connect().await)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender
    }

    /// One request on a new connection, its answer collected.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer::collect(self.client().await.send_request(request).await.unwrap()).await
    }

    /// `GET` of a target on host `h`.
    pub async fn get(&self, target: &str) -> Answer {
        self.send(get(target)).await
    }

    /// Sends bytes and reads until the proxy closes, or falls silent for `silence` after it has begun to answer.
    pub async fn raw(&self, bytes: &[u8], silence: Duration) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        let mut patience = FIRST;
        while let Ok(Ok(read @ 1..)) = tokio::time::timeout(patience, stream.read(&mut buffer)).await {
            answer.extend_from_slice(&buffer[..read]);
            patience = silence;
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the proxy panicked");
        }
    }
}

pub fn serve_snapshots(publisher: &Publisher, path: &std::path::Path) -> tokio::task::JoinHandle<()> {
    let (server, listener) = (publisher.clone(), tokio::net::UnixListener::bind(path).unwrap());
    tokio::spawn(async move { match server.serve(listener).await {} })
}

/// A collected answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub async fn collect(response: Response<hyper::body::Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned();
        Self { status: parts.status, headers: parts.headers, body: body.to_bytes(), trailers }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A `GET` of a target on host `h`, as it comes over the hop.
pub fn get(target: &str) -> Request<Full<Bytes>> {
    request("GET", target, "")
}

/// A request on host `h`, as it comes over the hop.
pub fn request(method: &str, target: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method).uri(target).header("host", "h").header("x-kakehi-hop", PORT.to_string());
    builder.body(Full::new(body.into())).unwrap()
}

pub fn listener() -> Resource {
    listener_on("http", PORT, Protocol::Http, "*")
}

pub fn listener_on(name: &str, port: u16, protocol: Protocol, hostname: &str) -> Resource {
    let hostname = Hostname::parse(hostname).unwrap();
    Resource::Listener(Listener {
        name: ListenerName(name.into()),
        port,
        protocol,
        hostname,
        certificates: Vec::new(),
        certificates_by_name: false,
        tuning: Default::default(),
    })
}

pub fn backend_id(name: &str) -> BackendId {
    BackendId { namespace: "n".into(), service: name.into(), port: 80 }
}

pub fn backend(name: &str, addresses: &[SocketAddr]) -> Resource {
    backend_speaking(BackendProtocol::Http, name, addresses)
}

pub fn backend_speaking(protocol: BackendProtocol, name: &str, addresses: &[SocketAddr]) -> Resource {
    let mut endpoints: Vec<Endpoint> = addresses.iter().map(|address| Endpoint { ip: address.ip(), port: address.port() }).collect();
    endpoints.sort_unstable();
    Resource::Backend(Backend::new(backend_id(name), protocol, endpoints))
}

pub fn prefix(path: &str) -> Match {
    Match { path: PathMatch::Prefix(path.into()), method: None, headers: Vec::new(), query: Vec::new() }
}

pub fn to(name: &str) -> Action {
    weighted(&[(name, 1)])
}

pub fn weighted(shares: &[(&str, u32)]) -> Action {
    let reference = |(name, weight): &(&str, u32)| BackendRef {
        weight: *weight,
        target: BackendTarget::Service(backend_id(name)),
        filters: Vec::new(),
    };
    Action::Forward(shares.iter().map(reference).collect())
}

pub fn rule(path: &str, filters: Vec<Filter>, action: Action) -> Rule {
    Rule { name: None, host: None, fallback: false, matches: vec![prefix(path)], filters, action }
}

/// A route for every host on the listener of [`listener`].
pub fn route(rules: Vec<Rule>) -> Resource {
    route_on("r", "http", rules)
}

pub fn route_on(name: &str, listener: &str, rules: Vec<Rule>) -> Resource {
    let attachments = vec![Attachment { listener: ListenerName(listener.into()), hostnames: vec![(Hostname::Any, Hostname::Any)] }];
    Resource::Route(Route {
        id: ObjectId::new(Kind::HttpRoute, "n", name),
        created: 0,
        file: None,
        attachments,
        rules,
        written: Vec::new(),
    })
}

/// A backend that answers every request through `answer`, HTTP/1.1 or HTTP/2 as the caller speaks.
pub async fn serve_with<F, B>(answer: F) -> SocketAddr
where
    F: Fn(Request<Bytes>) -> Response<B> + Clone + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                let answer = answer.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await?.to_bytes();
                    Ok::<_, hyper::Error>(answer(Request::from_parts(parts, body)))
                }
            });
            tokio::spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// A backend that says its name and repeats what it got: request line, fields sorted by name, body.
pub async fn echo(name: &'static str) -> SocketAddr {
    serve_with(move |request: Request<Bytes>| {
        let mut fields: Vec<String> =
            request.headers().iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect();
        fields.sort();
        let (line, body) = (format!("{} {} {:?}", request.method(), request.uri(), request.version()), request.body());
        let text = format!("{line}\n{}\n\n{}", fields.join("\n"), String::from_utf8_lossy(body));
        Response::builder().header("x-backend", name).body(Full::new(Bytes::from(text))).unwrap()
    })
    .await
}
