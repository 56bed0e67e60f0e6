//! Counts the requests that Sōzu decides alone, from its record of all requests.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde::de::value::{Error as NoKind, StrDeserializer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::plan::ClusterId;
use super::sozu::{NUDGE, Record, Records};
use crate::access_log::{AccessLog, Entry, LAST_LINES};
use crate::model::{BackendId, Kind, ObjectId};
use crate::traffic::{Pair, Tally, Traffic};
use crate::trouble::Trouble;

/// How often the record is read.
const READ: Duration = Duration::from_millis(200);
/// How long a quiet Sōzu may keep records in its buffer: at first, and while nothing comes of it.
const QUIET: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(12));
/// Sōzu writes out at most this much less than it has taken: its buffer of 4 KiB, twice as much after a long record.
const BUFFERED: usize = 8192;
/// Size of the path of one nudge: several together overflow the buffer, one alone does not bypass it.
const NUDGE_SIZE: usize = 1200;
/// Nudges for each that one Sōzu needs: of twins, nearly always each gets enough.
const FOR_TWINS: usize = 3;
/// A nudge is answered within this.
const NUDGED: Duration = Duration::from_secs(1);
/// At the end, a record is read to its end within this.
const LAST_READ: Duration = Duration::from_millis(500);
/// Tallies that are found without parsing.
const KNOWN: usize = 4096;

/// The tasks that read the records of an edge's Sōzus.
pub(super) struct Followers {
    native: Arc<Native>,
    end: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Followers {
    /// Starts them, one for each of these directories. `port` is an HTTP listener of all Sōzus.
    pub(super) fn start(dirs: impl Iterator<Item = PathBuf>, native: &Arc<Native>, port: &watch::Sender<Option<SocketAddr>>) -> Self {
        let end = watch::Sender::new(false);
        let follow = |dir: PathBuf| tokio::spawn(follow(Records::of(&dir), native.clone(), port.subscribe(), end.subscribe()));
        let tasks = dirs.map(follow).collect();
        Self { native: native.clone(), end, tasks }
    }

    /// Reads what the Sōzus have written to their ends, and has it logged.
    pub(super) async fn finish(self) {
        self.end.send_replace(true);
        for mut task in self.tasks {
            if timeout(LAST_READ, &mut task).await.is_err() {
                task.abort();
            }
        }
        if let Some(log) = &self.native.access_log {
            log.flush(LAST_LINES).await;
        }
    }
}

/// Follows a Sōzu's record until it is told to end, and then to where it ends.
async fn follow(mut log: Records, native: Arc<Native>, port: watch::Receiver<Option<SocketAddr>>, mut end: watch::Receiver<bool>) {
    let mut counting = Counting { native, known: HashMap::new(), key: Vec::new(), pruned: 0, lost: 0 };
    let mut look = interval(READ);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut written, mut wait, mut trouble) = (Instant::now(), QUIET.0, Trouble::default());
    loop {
        let last = tokio::select! {
            _ = look.tick() => false,
            _ = end.wait_for(|end| *end) => true,
        };
        let read = counting.read(&mut log).await;
        if read.is_ok() && trouble.ends() {
            tracing::info!("Sōzu's record of requests can be read again");
        }
        match read {
            _ if last => return,
            Ok(true) => (written, wait) = (Instant::now(), QUIET.0),
            Ok(false) if written.elapsed() < wait => {}
            Ok(false) => {
                let port = *port.borrow();
                if let Some(port) = port {
                    tokio::select! {
                        () = nudge(port) => {}
                        _ = end.wait_for(|end| *end) => {}
                    }
                }
                (written, wait) = (Instant::now(), (wait * 2).min(QUIET.1));
            }
            Err(error) if trouble.begins(&error) => tracing::warn!(%error, "Sōzu's record of requests cannot be read"),
            Err(error) => tracing::debug!(%error, "Sōzu's record of requests cannot be read"),
        }
    }
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Native {
    /// Requests by route and backend.
    pub traffic: Traffic,
    /// Damaged places.
    pub lost: AtomicU64,
    /// Bytes of requests, and of answers.
    pub bytes: [AtomicU64; 2],
    /// Requests of which no endpoint was reached.
    pub unreached: AtomicU64,
    /// Where requests are logged.
    pub access_log: Option<Arc<AccessLog>>,
}

impl Native {
    /// Nothing was read yet.
    pub(super) fn logging(access_log: Option<Arc<AccessLog>>) -> Self {
        Self { access_log, ..Self::default() }
    }
}

struct Counting {
    native: Arc<Native>,
    /// Tallies by route and cluster.
    known: HashMap<Vec<u8>, Arc<Tally>>,
    /// Room for a key of these.
    key: Vec<u8>,
    pruned: u64,
    /// Damaged places that were counted.
    lost: u64,
}

impl Counting {
    /// Reads what is there; whether more came than a nudge brings.
    async fn read(&mut self, log: &mut Records) -> io::Result<bool> {
        let pruned = self.native.traffic.pruned();
        if std::mem::replace(&mut self.pruned, pruned) != pruned || self.known.len() > KNOWN {
            self.known.clear();
        }
        let mut counted = false;
        while log.read(|record| counted |= self.count(record))? {
            yield_now().await;
        }
        let lost = log.lost() - std::mem::replace(&mut self.lost, log.lost());
        self.native.lost.fetch_add(lost, Relaxed);
        Ok(counted)
    }

    /// Counts a request, if it is not the filter's; whether it is anybody's.
    fn count(&mut self, record: &Record<'_>) -> bool {
        let ours = [ClusterId::HOP, ClusterId::RELAY];
        let hop = record.cluster.is_some_and(|cluster| ours.iter().any(|name| name.as_bytes() == cluster));
        // A nudge is refused by Sōzu itself; a client's request for such a path that reaches a backend is a request like any other.
        if record.nudge && record.cluster.is_none() && record.status == StatusCode::BAD_REQUEST {
            return false;
        }
        if hop && record.reached {
            return true;
        }
        // Without a frontend of its own a request carries the tags of another one of its host.
        let (cluster, route) = match record.cluster {
            Some(cluster) if !hop => (cluster, record.route.unwrap_or_default()),
            _ => Default::default(),
        };
        self.key.clear();
        self.key.extend_from_slice(route);
        self.key.push(0);
        self.key.extend_from_slice(cluster);
        let tally = match self.known.get(&self.key) {
            Some(tally) => tally,
            None => {
                let tally = self.native.traffic.tally(&pair(route, cluster));
                self.known.entry(self.key.clone()).or_insert(tally)
            }
        };
        tally.add(record.status, Duration::from_micros(record.micros));
        for (all, bytes) in self.native.bytes.iter().zip(record.bytes) {
            all.fetch_add(bytes, Relaxed);
        }
        if !cluster.is_empty() && !record.reached {
            self.native.unreached.fetch_add(1, Relaxed);
        }
        if let Some(log) = &self.native.access_log {
            log.log(&entry(record, route, cluster));
        }
        true
    }
}

/// A record as a line of the access log.
fn entry<'a>(record: &Record<'a>, route: &'a [u8], cluster: &'a [u8]) -> Entry<'a> {
    let said = record.said();
    Entry {
        stage: "native",
        nanos: said.nanos,
        client: said.client,
        secure: Some(said.secure),
        method: said.method,
        host: said.authority,
        target: said.path,
        user_agent: said.user_agent,
        request_id: said.request_id,
        status: record.status,
        micros: record.micros,
        bytes: record.bytes,
        route,
        backend: cluster,
    }
}

/// Whom a record is of. Route and cluster are texts that we gave Sōzu.
fn pair(route: &[u8], cluster: &[u8]) -> Pair {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    match text(route).and_then(route_of) {
        Some(route) => Pair::of(route, text(cluster).and_then(backend_of)),
        None => Pair::NOWHERE,
    }
}

fn route_of(text: &str) -> Option<ObjectId> {
    let mut parts = text.splitn(3, '/');
    let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    let kind = Kind::deserialize(StrDeserializer::<NoKind>::new(kind)).ok()?;
    Some(ObjectId::new(kind, namespace, name))
}

fn backend_of(text: &str) -> Option<BackendId> {
    let (namespace, rest) = text.split_once('/')?;
    let (service, port) = rest.rsplit_once(':')?;
    Some(BackendId { namespace: namespace.to_owned(), service: service.to_owned(), port: port.parse().ok()? })
}

/// Has Sōzu write out what it buffers, by requests that it refuses itself and records: a host has no space. (It records those
/// without any host too, but with a page of its own state in the log.)
async fn nudge(port: SocketAddr) {
    let request = format!("GET {NUDGE}{} HTTP/1.1\r\nHost: no host\r\nConnection: close\r\n\r\n", "-".repeat(NUDGE_SIZE));
    for _ in 0..FOR_TWINS * (BUFFERED / NUDGE_SIZE + 1) {
        let nudged = timeout(NUDGED, async {
            let mut stream = TcpStream::connect(port).await?;
            stream.write_all(request.as_bytes()).await?;
            stream.read_to_end(&mut Vec::new()).await
        });
        if let Ok(Err(error)) = nudged.await {
            tracing::trace!(%error, "a nudge was cut short");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{backend_of, pair, route_of};
    use crate::model::{BackendId, Kind, ObjectId};
    use crate::traffic::Pair;

    #[test]
    fn what_sozu_was_given_is_understood() {
        for kind in [Kind::HttpRoute, Kind::Ingress] {
            let route = ObjectId::new(kind, "shop", "web");
            let backend = BackendId { namespace: "shop".to_owned(), service: "api".to_owned(), port: 8080 };
            assert_eq!(route_of(&route.to_string()), Some(route.clone()));
            assert_eq!(backend_of(&backend.to_string()), Some(backend.clone()));
            assert_eq!(pair(route.to_string().as_bytes(), backend.to_string().as_bytes()), Pair::of(route, Some(backend)));
        }
        assert_eq!(pair(b"", b""), Pair::NOWHERE);
        assert_eq!(pair(b"Nonsense/a/b", b"a/b:80"), Pair::NOWHERE);
    }
}
