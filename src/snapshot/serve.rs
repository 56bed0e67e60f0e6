//! All edges' snapshots on one TLS port.
//!
//! A client says who it is in one bounded line; whoever answers for that ([`Admit`]) decides which edge it is, and that
//! edge's publisher serves it. A client that is turned away is told why in one line. Each connection has a task of its own,
//! so a slow one delays nobody, and strangers are counted apart from edges, so that they cannot crowd them out.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use imbl::OrdMap;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::lines::{self, Lines};
use super::publish::{Client, Publisher};
use super::tls::{Identity, IdentityError};
use super::wire::{self, Hello, Refused};
use crate::model::EdgeId;

/// Who may read which snapshot.
pub trait Admit: Send + Sync + 'static {
    /// The edge and node that a hello's token stands for, which must be the edge that the hello names.
    fn admit(&self, hello: &Hello) -> impl Future<Output = Result<Admitted, Refused>> + Send;
}

/// A client that may read one edge's snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The edge.
    pub edge: EdgeId,
    /// The node: another connection of the same node takes its place.
    pub node: String,
    /// The connection ends then; the client comes again with a fresh token.
    pub until: Instant,
}

/// The publishers of all edges, shared by who publishes and who serves.
#[derive(Clone, Default)]
pub struct Publishers(watch::Sender<OrdMap<EdgeId, Publisher>>);

impl Publishers {
    /// Serves an edge's snapshot from this publisher.
    pub fn insert(&self, edge: EdgeId, publisher: Publisher) {
        self.0.send_modify(|all| {
            all.insert(edge, publisher);
        });
    }

    /// Serves an edge's snapshot no more; its connections end.
    pub fn remove(&self, edge: &EdgeId) {
        self.0.send_if_modified(|all| all.remove(edge).is_some());
    }

    /// The publisher of an edge.
    pub fn get(&self, edge: &EdgeId) -> Option<Publisher> {
        self.0.borrow().get(edge).cloned()
    }

    /// Resolves when the edge has no publisher any more, or another one.
    async fn gone(&self, edge: &EdgeId, publisher: &Publisher) {
        let other = |all: &OrdMap<EdgeId, Publisher>| all.get(edge).is_none_or(|now| !now.is(publisher));
        drop(self.0.subscribe().wait_for(other).await);
    }
}

/// What strangers may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections whose hello is not accepted yet.
    pub strangers: usize,
    /// The same from one address.
    pub strangers_per_address: usize,
    /// Edge nodes connected at once.
    pub nodes: usize,
    /// Time for TLS and hello.
    pub hello: Duration,
    /// Bytes of the hello.
    pub hello_length: usize,
    /// Time for the decision.
    pub admission: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let hello = Duration::from_secs(5);
        let admission = Duration::from_secs(10);
        Self { strangers: 512, strangers_per_address: 16, nodes: 4096, hello, hello_length: 16 * 1024, admission }
    }
}

/// What happened on the port since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that were served a snapshot.
    pub served: AtomicU64,
    /// Hellos that were answered with a refusal.
    pub refused: AtomicU64,
    /// Connections without a hello: no TLS, too slow, too long, not understood.
    pub strange: AtomicU64,
    /// Connections closed at once because there were too many.
    pub crowded: AtomicU64,
}

/// The port.
pub struct Server<A> {
    publishers: Publishers,
    admission: A,
    acceptor: TlsAcceptor,
    limits: Limits,
    nodes: Semaphore,
    counters: Arc<Counters>,
}

/// A connection whose client is not known yet; it is counted until this is dropped.
struct Stranger {
    address: IpAddr,
    known: mpsc::UnboundedSender<IpAddr>,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // Without a receiver nobody counts any more.
        let _ = self.known.send(self.address);
    }
}

impl<A: Admit> Server<A> {
    /// A server of these publishers to whom `admission` lets in.
    ///
    /// # Errors
    /// Those of the TLS library.
    pub fn new(publishers: Publishers, admission: A, identity: &Identity, limits: Limits) -> Result<Self, IdentityError> {
        let (acceptor, nodes) = (identity.acceptor()?, Semaphore::new(limits.nodes));
        Ok(Self { publishers, admission, acceptor, limits, nodes, counters: Arc::default() })
    }

    /// The same server, counting here.
    #[must_use]
    pub fn counting(self, counters: Arc<Counters>) -> Self {
        Self { counters, ..self }
    }

    /// What happens here.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Accepts connections for ever. All end when this is dropped.
    pub async fn serve(self, listener: TcpListener) {
        let this = Arc::new(self);
        let mut connections = JoinSet::new();
        let (known, mut no_stranger) = mpsc::unbounded_channel();
        let mut strangers: HashMap<IpAddr, usize> = HashMap::new();
        let mut total = 0;
        loop {
            tokio::select! {
                // Who is no stranger any more is taken off before the next one is judged.
                biased;
                Some(address) = no_stranger.recv() => {
                    total -= 1;
                    if let Some(count) = strangers.get_mut(&address) {
                        *count -= 1;
                        if *count == 0 {
                            strangers.remove(&address);
                        }
                    }
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let address = peer.ip().to_canonical();
                        let count = strangers.get(&address).copied().unwrap_or_default();
                        if total >= this.limits.strangers || count >= this.limits.strangers_per_address {
                            this.counters.crowded.fetch_add(1, Ordering::Relaxed);
                            tracing::debug!(%peer, "too many strangers");
                            continue;
                        }
                        total += 1;
                        strangers.insert(address, count + 1);
                        let stranger = Stranger { address, known: known.clone() };
                        connections.spawn(this.clone().talk(stream, peer, stranger));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the snapshot port cannot accept");
                        sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }

    async fn talk(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, stranger: Stranger) {
        let greeted = timeout(self.limits.hello, self.greet(stream)).await;
        let (hello, lines, mut writer) = match greeted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(greeted) => greeted,
            Err(error) => {
                self.counters.strange.fetch_add(1, Ordering::Relaxed);
                return tracing::debug!(%peer, %error, "no hello");
            }
        };
        match self.admit(&hello).await {
            Ok((admitted, publisher)) => {
                let Ok(_node) = self.nodes.try_acquire() else {
                    return self.turn_away(&mut writer, peer, refusal("too many nodes are connected")).await;
                };
                drop(stranger);
                self.counters.served.fetch_add(1, Ordering::Relaxed);
                let Admitted { edge, node, until } = admitted;
                tracing::info!(%edge, node, %peer, wire = hello.wire, "edge connected");
                let client = Client { node: node.clone(), have: hello.have.map(|have| have.hash), remote: true };
                let ended = tokio::select! {
                    ended = publisher.serve_client(client, lines, writer) => ended,
                    () = sleep_until(until) => Err(io::Error::other("its admission has expired")),
                    () = self.publishers.gone(&edge, &publisher) => Err(io::Error::other("the edge is not served any more")),
                };
                tracing::info!(%edge, node, %peer, ?ended, "edge disconnected");
            }
            Err(refused) => self.turn_away(&mut writer, peer, refused).await,
        }
    }

    async fn admit(&self, hello: &Hello) -> Result<(Admitted, Publisher), Refused> {
        if wire::agree(wire::VERSIONS, hello.wire).is_none() {
            return Err(refusal(&format!("version {} of the wire is not spoken here, only {:?}", hello.wire, wire::VERSIONS)));
        }
        let decision = timeout(self.limits.admission, self.admission.admit(hello)).await;
        let admitted = decision.map_err(|_| refusal("no decision in time"))??;
        // The answer that a token gives, never the name that a client gives, chooses the snapshot.
        match self.publishers.get(&admitted.edge) {
            Some(publisher) if admitted.edge.to_string() == hello.edge => Ok((admitted, publisher)),
            Some(_) => Err(refusal("the token is another edge's")),
            None => Err(refusal("this edge is not served here")),
        }
    }

    async fn turn_away(&self, writer: &mut (impl AsyncWrite + Unpin), peer: SocketAddr, refused: Refused) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%peer, reason = refused.refused, "edge refused");
        let told = async {
            lines::write(writer, &refused).await?;
            writer.shutdown().await
        };
        if let Ok(Err(error)) = timeout(self.limits.hello, told).await {
            tracing::debug!(%peer, %error, "and gone");
        }
    }

    /// TLS and the first line. A line that is no hello is answered here.
    async fn greet(&self, stream: TcpStream) -> io::Result<(Hello, Lines<impl AsyncRead + use<A>>, impl AsyncWrite + use<A>)> {
        stream.set_nodelay(true)?;
        let (reader, mut writer) = tokio::io::split(self.acceptor.accept(stream).await?);
        let mut lines = Lines::new(reader, self.limits.hello_length);
        let understood = match lines.next().await {
            Ok(Some(line)) => serde_json::from_slice(&line).map_err(io::Error::from),
            Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => Err(error),
        };
        match understood {
            Ok(hello) => Ok((hello, lines, writer)),
            Err(error) => {
                lines::write(&mut writer, &refusal("the first line is no hello")).await?;
                writer.shutdown().await?;
                Err(error)
            }
        }
    }
}

fn refusal(text: &str) -> Refused {
    Refused { refused: text.to_owned() }
}
