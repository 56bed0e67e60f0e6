//! `kakehi edge` as a pod runs it: its snapshot over TLS, the last good one on disk, real Sōzu and filter proxy.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use kakehi::model::{
    Action, Attachment, Hostname, Kind, Listener, ListenerName, Match, ObjectId, PathMatch, Protocol, Redirect, Route, Rule,
};
use kakehi::snapshot::publish::Publisher;
use kakehi::snapshot::serve::Publishers;
use kakehi::snapshot::{Resource, Snapshot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::rig::{LONG, Rig, acked, edge};

const PORT: u16 = 8080;

/// Every path answers `status` from the filter proxy, and `/native` is a redirect of Sōzu's own.
fn snapshot(status: u16) -> Snapshot {
    let name = ListenerName("http".into());
    let listener = Listener {
        name: name.clone(),
        port: PORT,
        protocol: Protocol::Http,
        hostname: Hostname::Any,
        certificates: Vec::new(),
        certificates_by_name: false,
        tuning: Default::default(),
    };
    let rule = |path: &str, action| Rule {
        name: None,
        host: None,
        fallback: false,
        matches: vec![Match { path: PathMatch::Prefix(path.into()), method: None, headers: Vec::new(), query: Vec::new() }],
        filters: Vec::new(),
        action,
    };
    let redirect = Redirect { scheme: None, hostname: Some("elsewhere".into()), port: None, path: None, status: 302 };
    let route = Route {
        id: ObjectId::new(Kind::HttpRoute, "shop", "all"),
        created: 1,
        file: None,
        attachments: vec![Attachment { listener: name, hostnames: vec![(Hostname::Any, Hostname::Any)] }],
        rules: vec![rule("/native", Action::Redirect(redirect)), rule("/", Action::Answer(status))],
        written: Vec::new(),
    };
    Snapshot::from_resources([Resource::Listener(listener), Resource::Route(route)])
}

fn sozu() -> PathBuf {
    let cached = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/kakehi/sozu-2.3.3-release/bin/sozu");
    std::env::var_os("KAKEHI_SOZU").map_or_else(cached, PathBuf::from)
}

/// The process. It ends, and its Sōzu with it, when this is dropped and its standard input with it.
struct Edge {
    child: Child,
    address: IpAddr,
}

impl Edge {
    fn start(rig: &Rig, state: &Path, address: IpAddr) -> Self {
        std::fs::create_dir_all(state).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_kakehi"));
        command.arg("edge").args(["--name", "shop/web", "--address", &address.to_string()]);
        command.arg("--runtime-dir").arg(rig.dir.path().join(format!("run-{:x}", rand::random::<u32>())));
        command.args(["--snapshot-url", &format!("https://{}", rig.address)]);
        command.arg("--ca").arg(rig.dir.path().join("ca.pem")).arg("--token").arg(rig.token("web:pod-0"));
        command.arg("--state").arg(state).arg("--sozu").arg(sozu());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, address }
    }

    /// The status of an answer; 0 without one.
    async fn status(&self, path: &str) -> u16 {
        let ask = async {
            let mut stream = TcpStream::connect(SocketAddr::new(self.address, PORT)).await.ok()?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            answer.split(' ').nth(1)?.parse().ok()
        };
        timeout(Duration::from_secs(5), ask).await.ok().flatten().unwrap_or_default()
    }

    async fn answers(&self, path: &str, status: u16) {
        let end = Instant::now() + LONG;
        while self.status(path).await != status {
            assert!(Instant::now() < end, "{path} does not answer {status}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it and all it started; returns when it is gone.
    async fn end(&mut self) {
        drop(self.child.stdin.take());
        timeout(LONG, self.child.wait()).await.expect("it ends with its input").unwrap();
    }
}

/// A leader of an epoch with this snapshot, which takes the former one's place.
async fn lead(rig: &mut Rig, epoch: u64, snapshot: &Snapshot) -> Publisher {
    let (publishers, publisher) = (Publishers::default(), Publisher::new(epoch));
    publisher.publish(&snapshot.as_delta());
    publishers.insert(edge("web"), publisher.clone());
    rig.restart(publishers).await;
    publisher
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_through_the_absence_of_everybody_else() {
    let mut rig = Rig::start().await;
    let state = rig.dir.path().join("state");
    let publisher = lead(&mut rig, 3, &snapshot(418)).await;
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let address = IpAddr::from([127, 64 | high & 63, low, 201]);
    let mut pod = Edge::start(&rig, &state, address);
    acked(&publisher, publisher.current().0).await;
    pod.answers("/", 418).await;
    pod.answers("/native", 302).await;

    // No control plane.
    rig.kill().await;
    sleep(Duration::from_millis(700)).await;
    assert_eq!(pod.status("/").await, 418);
    // Nor the process that knew: its container has started anew.
    pod.end().await;
    let mut pod = Edge::start(&rig, &state, address);
    pod.answers("/", 418).await;
    pod.answers("/native", 302).await;

    // A former leader that still believes in itself.
    let former = lead(&mut rig, 2, &snapshot(451)).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(pod.status("/").await, 418, "a lower epoch is not believed");
    assert_eq!(*former.acks().borrow(), None);
    // The next leader, with the same state: only said to be held; then a change.
    let next = lead(&mut rig, 4, &snapshot(418)).await;
    acked(&next, next.current().0).await;
    let change = snapshot(418).diff(&snapshot(451));
    let stamp = next.publish(&change);
    acked(&next, stamp).await;
    assert_eq!(pod.status("/").await, 451);
    pod.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_damaged_or_cannot_be_written_is_no_obstacle() {
    let mut rig = Rig::start().await;
    let state = rig.dir.path().join("state");
    std::fs::create_dir_all(state.join("snapshot.json.new")).unwrap();
    std::fs::write(state.join("snapshot.json"), "{\"half\":").unwrap();
    let publisher = lead(&mut rig, 1, &snapshot(418)).await;
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let mut pod = Edge::start(&rig, &state, IpAddr::from([127, 64 | high & 63, low, 202]));
    acked(&publisher, publisher.current().0).await;
    pod.answers("/", 418).await;
    let stamp = publisher.publish(&snapshot(418).diff(&snapshot(451)));
    acked(&publisher, stamp).await;
    pod.answers("/", 451).await;
    pod.end().await;
}
