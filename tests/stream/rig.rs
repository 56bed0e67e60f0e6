//! A server with an authority of its own, and clients of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kakehi::model::{Backend, BackendId, BackendProtocol, EdgeId, Endpoint};
use kakehi::snapshot::fetch::{Acks, Remote, Updates};
use kakehi::snapshot::publish::Publisher;
use kakehi::snapshot::serve::{Admit, Admitted, Counters, Limits, Publishers, Server};
use kakehi::snapshot::tls::Identity;
use kakehi::snapshot::wire::{Ack, Have, Hello, Refused, Stamp};
use kakehi::snapshot::{Delta, Held, Key, Resource};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// No wait of a test takes longer.
pub const LONG: Duration = Duration::from_secs(20);

pub fn edge(name: &str) -> EdgeId {
    EdgeId { namespace: "shop".into(), name: name.into() }
}

pub fn backend(port: u16, version: u16) -> Arc<Resource> {
    let id = BackendId { namespace: "shop".into(), service: "s".into(), port };
    let endpoints = vec![Endpoint { ip: [10, 0, 0, 1].into(), port: version }];
    Arc::new(Resource::Backend(Backend::new(id, BackendProtocol::Http, endpoints)))
}

pub fn key(port: u16) -> Key {
    backend(port, 1).key()
}

pub fn set(backends: impl IntoIterator<Item = (u16, u16)>) -> Delta {
    Delta { set: backends.into_iter().map(|(port, version)| backend(port, version)).collect(), remove: Vec::new() }
}

/// A token is `EDGE:NODE`, and `expired` stands for any that is too old.
pub struct ByName {
    pub life: Duration,
}

impl Admit for ByName {
    async fn admit(&self, hello: &Hello) -> Result<Admitted, Refused> {
        match hello.token.0.split_once(':') {
            Some((name, node)) => Ok(Admitted { edge: edge(name), node: node.to_owned(), until: Instant::now() + self.life }),
            None => Err(Refused { refused: "the token is not valid".into() }),
        }
    }
}

/// An authority and a certificate of it for 127.0.0.1.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub fn certificate(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A server on loopback.
pub struct Rig {
    pub dir: tempfile::TempDir,
    pub authority: Authority,
    pub identity: Identity,
    pub publishers: Publishers,
    pub address: SocketAddr,
    pub counters: Arc<Counters>,
    serving: JoinHandle<()>,
}

impl Rig {
    pub async fn start() -> Self {
        Self::start_with(Limits::default(), LONG * 100).await
    }

    pub async fn start_with(limits: Limits, life: Duration) -> Self {
        let (authority, publishers) = (Authority::new(), Publishers::default());
        let (chain, key) = authority.certificate();
        let identity = Identity::new(&chain, &key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), &authority.pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(publishers.clone(), ByName { life }, &identity, limits).unwrap();
        let counters = server.counters();
        let serving = tokio::spawn(server.serve(listener));
        Self { dir, authority, identity, publishers, address, counters, serving }
    }

    /// Kills the server; its connections break.
    pub async fn kill(&mut self) {
        if !self.serving.is_finished() {
            self.serving.abort();
            let _ = (&mut self.serving).await;
        }
    }

    /// Another server at the same address with these publishers.
    pub async fn restart(&mut self, publishers: Publishers) {
        self.kill().await;
        let listener = bind(self.address).await;
        self.publishers = publishers.clone();
        let server = Server::new(publishers, ByName { life: LONG * 100 }, &self.identity, Limits::default()).unwrap();
        self.counters = server.counters();
        self.serving = tokio::spawn(server.serve(listener));
    }

    /// A new edge with this publisher.
    pub fn offer(&self, name: &str, epoch: u64) -> Publisher {
        let publisher = Publisher::new(epoch);
        self.publishers.insert(edge(name), publisher.clone());
        publisher
    }

    pub fn token(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join(format!("token-{}", text.replace(['/', ':'], "-")));
        std::fs::write(&path, format!("{text}\n")).unwrap();
        path
    }

    /// A client that shows this token and asks for this edge.
    pub fn remote(&self, name: &str, token: &str) -> Remote {
        let url = format!("https://{}", self.address);
        Remote::new(&url, self.dir.path().join("ca.pem"), self.token(token), edge(name).to_string()).unwrap()
    }

    pub async fn client(&self, name: &str, node: &str) -> Client {
        Client::new(self.remote(name, &format!("{name}:{node}"))).await
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(64).unwrap()
}

/// A client as the edge is one, driven by hand.
pub struct Client {
    remote: Remote,
    pub held: Held,
    pub stamp: Option<Stamp>,
    pub fulls: u32,
    /// Resources that came over the wire.
    pub received: usize,
    connection: Option<(Updates, Acks)>,
}

impl Client {
    pub async fn new(remote: Remote) -> Self {
        let mut client = Self { remote, held: Held::default(), stamp: None, fulls: 0, received: 0, connection: None };
        client.reconnect().await;
        client
    }

    pub async fn reconnect(&mut self) {
        self.connection = None;
        let have = self.stamp.map(|stamp| Have { stamp, hash: self.held.hash() });
        self.connection = Some(self.remote.connect(have).await.unwrap());
    }

    pub fn connected(&self) -> bool {
        self.connection.is_some()
    }

    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Takes the next update and acknowledges it; false when the connection has ended.
    pub async fn take(&mut self) -> bool {
        let (updates, acks) = self.connection.as_mut().unwrap();
        let Ok(Some(update)) = timeout(LONG, updates.next()).await.expect("an update or an end in time") else { return false };
        self.fulls += u32::from(update.full);
        self.received += update.delta.set.len() + update.delta.remove.len();
        self.held = self.held.after(&update).unwrap();
        self.stamp = Some(update.stamp);
        acks.send(&Ack { stamp: update.stamp, refused: Vec::new() }).await.is_ok()
    }

    /// Takes updates until it holds this stamp.
    pub async fn reach(&mut self, stamp: Stamp) {
        while self.stamp.is_none_or(|held| held < stamp) {
            assert!(self.take().await, "the connection ended");
        }
    }
}

/// Waits for the edge's acks to be at this stamp.
pub async fn acked(publisher: &Publisher, stamp: Stamp) {
    let mut acks = publisher.acks();
    let reached = acks.wait_for(|ack| ack.as_ref().is_some_and(|ack| ack.stamp >= stamp));
    timeout(LONG, reached).await.expect("an ack in time").unwrap();
}

/// Waits for something to become true.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
