//! The serving side of the snapshot stream.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::wire::{Ack, Stamp, Update};
use super::{Delta, Snapshot};

/// Holds one edge's snapshot, sends it to the client that connects, and remembers what the client acknowledged.
///
/// Changes that arrive while an update is on its way gather into the next one. One client at a time: a new connection
/// takes the place of the one before.
#[derive(Clone)]
pub struct Publisher {
    current: watch::Sender<(Stamp, Snapshot)>,
    acks: Arc<watch::Sender<Option<Ack>>>,
}

impl Publisher {
    /// A publisher of an empty snapshot in this epoch, at sequence number 0.
    pub fn new(epoch: u64) -> Self {
        Self { current: watch::Sender::new((Stamp { epoch, seq: 0 }, Snapshot::default())), acks: Arc::new(watch::Sender::new(None)) }
    }

    /// Applies a change and returns the stamp of the state that includes it.
    pub fn publish(&self, delta: &Delta) -> Stamp {
        let mut stamp = Stamp::default();
        self.current.send_modify(|(current, snapshot)| {
            current.seq += 1;
            stamp = *current;
            snapshot.apply(delta);
        });
        stamp
    }

    /// The newest stamp and snapshot.
    pub fn current(&self) -> (Stamp, Snapshot) {
        self.current.borrow().clone()
    }

    /// The newest ack of the connected client; `None` while no client is connected or none was sent yet.
    pub fn acks(&self) -> watch::Receiver<Option<Ack>> {
        self.acks.subscribe()
    }

    /// Accepts clients until the listener fails.
    ///
    /// # Errors
    /// The listener's.
    pub async fn serve(&self, listener: UnixListener) -> io::Result<()> {
        let (mut stream, _) = listener.accept().await?;
        loop {
            tokio::select! {
                ended = self.serve_client(stream) => {
                    tracing::debug!(?ended, "snapshot client gone");
                    self.acks.send_replace(None);
                    stream = listener.accept().await?.0;
                }
                next = listener.accept() => {
                    self.acks.send_replace(None);
                    stream = next?.0;
                }
            }
        }
    }

    async fn serve_client(&self, stream: UnixStream) -> io::Result<()> {
        let (reader, writer) = stream.into_split();
        tokio::select! {
            ended = self.send_updates(writer) => ended,
            ended = self.receive_acks(reader) => ended,
        }
    }

    async fn send_updates(&self, mut writer: OwnedWriteHalf) -> io::Result<()> {
        let mut current = self.current.subscribe();
        let (stamp, mut sent) = current.borrow_and_update().clone();
        send(&mut writer, &Update { stamp, full: true, delta: sent.as_delta(), hash: sent.hash() }).await?;
        while current.changed().await.is_ok() {
            let (stamp, target) = current.borrow_and_update().clone();
            send(&mut writer, &Update { stamp, full: false, delta: sent.diff(&target), hash: target.hash() }).await?;
            sent = target;
        }
        Ok(())
    }

    async fn receive_acks(&self, reader: OwnedReadHalf) -> io::Result<()> {
        let mut lines = BufReader::new(reader).lines();
        while let Some(line) = lines.next_line().await? {
            let ack: Ack = serde_json::from_str(&line)?;
            self.acks.send_replace(Some(ack));
        }
        Ok(())
    }
}

async fn send(writer: &mut OwnedWriteHalf, update: &Update) -> io::Result<()> {
    let mut line = serde_json::to_vec(update)?;
    line.push(b'\n');
    writer.write_all(&line).await
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
        Arc::new(Resource::Backend(Backend { id, protocol: BackendProtocol::Http, endpoints: Vec::new() }))
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
        acks.send(&ack).await.unwrap();
        assert_eq!(*seen.wait_for(Option::is_some).await.unwrap(), Some(ack));
        drop((updates, acks));
        seen.wait_for(Option::is_none).await.unwrap();
    }
}
