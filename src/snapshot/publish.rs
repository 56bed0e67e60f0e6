//! The serving side of the snapshot stream.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::lines::{self, Lines};
use super::nodes::{Nodes, Seat};
use super::wire::{Ack, REQUIREMENTS, Requires, Stamp, Update};
use super::{Delta, Hash, Key, Snapshot};
use crate::listen::next;

/// So many states before the newest one are remembered, for clients that come back. They share what they have in common.
const REMEMBERED: usize = 64;
/// How often a quiet connection shows that it lives.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A client over TLS that shows nothing for so long is gone.
pub(super) const SILENCE: Duration = Duration::from_secs(35);
/// Longest ack: one that refuses some ten thousand resources.
const LONGEST_ACK: usize = 4 << 20;

/// Holds one edge's snapshot, sends it to the clients that connect, and remembers what they acknowledged.
///
/// Changes that arrive while an update is on its way gather into the next one. One client per node: a new connection of a
/// node takes the place of the one before. A unix socket has one node.
#[derive(Clone)]
pub struct Publisher {
    current: watch::Sender<State>,
    nodes: Arc<Nodes>,
}

struct State {
    stamp: Stamp,
    snapshot: Snapshot,
    since: Instant,
    /// The states before, newest first.
    before: VecDeque<(Stamp, Snapshot)>,
}

/// Who a publisher talks to.
pub(super) struct Client {
    pub node: String,
    /// What it holds already.
    pub have: Option<Hash>,
    /// It is another program, perhaps of another version, over a network.
    pub remote: bool,
}

impl Publisher {
    /// A publisher of an empty snapshot in this epoch, at sequence number 0.
    pub fn new(epoch: u64) -> Self {
        let state = State { stamp: Stamp { epoch, seq: 0 }, snapshot: Snapshot::default(), since: Instant::now(), before: VecDeque::new() };
        Self { current: watch::Sender::new(state), nodes: Nodes::new() }
    }

    /// Applies a change and returns the stamp of the state that includes it.
    pub fn publish(&self, delta: &Delta) -> Stamp {
        let mut stamp = Stamp::default();
        self.current.send_modify(|state| {
            state.before.push_front((state.stamp, state.snapshot.clone()));
            state.stamp.seq += 1;
            state.since = Instant::now();
            stamp = state.stamp;
            state.before.truncate(REMEMBERED);
            state.snapshot.apply(delta);
        });
        stamp
    }

    /// The same state in another epoch: whoever applied a state of the epoch before does not hold it yet.
    pub fn lead(&self, epoch: u64) {
        self.current.send_modify(|state| state.stamp = Stamp { epoch, seq: state.stamp.seq + 1 });
    }

    /// The newest stamp and snapshot.
    pub fn current(&self) -> (Stamp, Snapshot) {
        let state = self.current.borrow();
        (state.stamp, state.snapshot.clone())
    }

    /// When the newest state was published.
    pub fn since(&self) -> Instant {
        self.current.borrow().since
    }

    /// What all connected nodes have acknowledged: the least of their stamps, and everything that any of them refuses.
    /// `None` while no node is connected, or one has not acknowledged anything yet.
    pub fn acks(&self) -> watch::Receiver<Option<Ack>> {
        self.nodes.acks()
    }

    /// Keys of the newest state that not every node holds yet; all of them when it is not remembered what they hold.
    pub fn pending(&self) -> Vec<Key> {
        let (acked, state) = (self.nodes.acks().borrow().as_ref().map(|ack| ack.stamp), self.current.borrow());
        if acked.is_some_and(|acked| acked >= state.stamp) {
            return Vec::new();
        }
        let held = state.before.iter().find(|(stamp, _)| acked == Some(*stamp)).map(|(_, snapshot)| snapshot.clone());
        held.unwrap_or_default().diff(&state.snapshot).keys().collect()
    }

    /// Every connected node with its newest ack.
    pub fn nodes(&self) -> BTreeMap<String, Option<Ack>> {
        self.nodes.list()
    }

    /// For how long no node has been connected; `None` while one is.
    pub fn absence(&self) -> Option<Duration> {
        self.nodes.absence()
    }

    /// Whether both are one.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.nodes, &other.nodes)
    }

    /// Accepts clients of the one node behind a unix socket, for ever. A new client takes the place of the one before.
    pub async fn serve(&self, listener: UnixListener) -> Infallible {
        let (mut stream, _) = next(&listener, "snapshot").await;
        loop {
            tokio::select! {
                ended = self.serve_local(stream) => {
                    tracing::debug!(?ended, "snapshot client gone");
                    stream = next(&listener, "snapshot").await.0;
                }
                (newer, _) = next(&listener, "snapshot") => stream = newer,
            }
        }
    }

    async fn serve_local(&self, stream: UnixStream) -> io::Result<()> {
        let (reader, writer) = stream.into_split();
        let client = Client { node: "local".to_owned(), have: None, remote: false };
        self.serve_client(client, Lines::new(reader, LONGEST_ACK), writer).await
    }

    /// Serves one client until it is gone, or another one takes its place.
    pub(super) async fn serve_client<R, W>(&self, client: Client, lines: Lines<R>, writer: W) -> io::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (seat, replaced) = self.nodes.seat(&client.node);
        tokio::select! {
            ended = self.send_updates(writer, &client) => ended,
            ended = self.receive_acks(lines.allow(LONGEST_ACK), &seat, client.remote) => ended,
            _ = replaced => Err(io::Error::other("the node has connected anew")),
        }
    }

    async fn send_updates(&self, mut writer: impl AsyncWrite + Unpin, client: &Client) -> io::Result<()> {
        let mut current = self.current.subscribe();
        if client.remote {
            // Nothing is published yet: to say so would withdraw everything from an edge that serves.
            current.wait_for(|state| state.stamp.seq > 0).await.map_err(io::Error::other)?;
        }
        let known = client.have.and_then(|hash| current.borrow().known(hash));
        let mut full = known.is_none();
        let mut sent = known.unwrap_or_default();
        loop {
            let (stamp, target) = {
                let state = current.borrow_and_update();
                (state.stamp, state.snapshot.clone())
            };
            lines::write(&mut writer, &update(stamp, full, (&sent, &target), client.remote)).await?;
            (sent, full) = (target, false);
            loop {
                match timeout(KEEP_ALIVE, current.changed()).await {
                    Ok(Ok(())) => break,
                    Ok(Err(_)) => return Ok(()),
                    Err(_) => lines::keep_alive(&mut writer).await?,
                }
            }
        }
    }

    async fn receive_acks<R: AsyncRead + Unpin>(&self, mut lines: Lines<R>, seat: &Seat, remote: bool) -> io::Result<()> {
        loop {
            let next = lines.next();
            let silent = |_| io::Error::new(io::ErrorKind::TimedOut, "the client is silent");
            let line = if remote { timeout(SILENCE, next).await.map_err(silent)?? } else { next.await? };
            let Some(line) = line else { return Ok(()) };
            if line.is_empty() {
                continue;
            }
            let ack: Ack = serde_json::from_slice(&line)?;
            let newest = self.current.borrow().stamp;
            if ack.stamp.epoch != newest.epoch || ack.stamp > newest {
                tracing::debug!(acked = ?ack.stamp, ?newest, "an ack of what was never sent");
                continue;
            }
            seat.acknowledge(ack);
        }
    }
}

impl State {
    /// The state of this hash, if it is remembered.
    fn known(&self, hash: Hash) -> Option<Snapshot> {
        let before = self.before.iter().map(|(_, snapshot)| snapshot);
        std::iter::once(&self.snapshot).chain(before).find(|snapshot| snapshot.hash() == hash).cloned()
    }
}

/// The update that leads from one state to another.
fn update(stamp: Stamp, full: bool, (sent, target): (&Snapshot, &Snapshot), remote: bool) -> Update {
    let delta = sent.diff(target);
    let (hashes, requires) = if remote {
        let hashes = delta.set.iter().map(|resource| target.hash_of(&resource.key()).unwrap_or_default());
        (hashes.collect(), Requires::of(&delta, REQUIREMENTS))
    } else {
        (Vec::new(), Vec::new())
    };
    Update { stamp, full, delta, hash: target.hash(), hashes, requires }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Publisher;
    use crate::model::{Backend, BackendId, BackendProtocol};
    use crate::snapshot::wire::{Ack, Refusal};
    use crate::snapshot::{Delta, Resource, fetch};

    fn backend(port: u16) -> Arc<Resource> {
        let id = BackendId { namespace: "n".into(), service: "s".into(), port };
        Arc::new(Resource::Backend(Backend::new(id, BackendProtocol::Http, Vec::new())))
    }

    fn set(ports: impl IntoIterator<Item = u16>) -> Delta {
        Delta { set: ports.into_iter().map(backend).collect(), remove: Vec::new() }
    }

    #[tokio::test]
    async fn a_client_gets_everything_then_changes_and_its_acks_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot.sock");
        let publisher = Publisher::new(7);
        publisher.publish(&set([1, 2]));
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let server = publisher.clone();
        tokio::spawn(async move { server.serve(listener).await });

        let (mut updates, mut acks) = fetch::connect(&path).await.unwrap();
        let first = updates.next().await.unwrap().unwrap();
        assert!(first.full);
        assert_eq!((first.stamp.epoch, first.stamp.seq, first.delta.set.len()), (7, 1, 2));

        publisher.publish(&set([3]));
        publisher.publish(&Delta { set: Vec::new(), remove: vec![backend(1).key()] });
        let (mut snapshot, mut stamp) = (crate::snapshot::Snapshot::default(), first.stamp);
        snapshot.apply(&first.delta);
        while stamp.seq < 3 {
            let update = updates.next().await.unwrap().unwrap();
            assert!(!update.full);
            snapshot.apply(&update.delta);
            assert_eq!(snapshot.hash(), update.hash);
            stamp = update.stamp;
        }
        assert_eq!(snapshot, publisher.current().1);

        let ack = Ack { stamp, refused: vec![Refusal { key: backend(3).key(), reason: "no".into() }] };
        let mut seen = publisher.acks();
        assert_eq!(publisher.pending(), [backend(2).key(), backend(3).key()], "nobody holds anything yet");
        acks.send(&ack).await.unwrap();
        assert_eq!(*seen.wait_for(Option::is_some).await.unwrap(), Some(ack));
        assert_eq!(publisher.pending(), []);
        publisher.publish(&set([4]));
        assert_eq!(publisher.pending(), [backend(4).key()]);
        drop((updates, acks));
        seen.wait_for(Option::is_none).await.unwrap();
    }
}
