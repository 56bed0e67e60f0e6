//! The edge as a whole: control plane, filter child and Sōzu.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kakehi::edge::{Capacity, EdgeSettings, FilterCommand, Origin, PAGES, SozuOrigin};
use kakehi::snapshot::publish::Publisher;
use kakehi::snapshot::wire::{Ack, Refusal, Stamp};
use kakehi::snapshot::{Key, Resource, Snapshot, fetch};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, sleep};

use crate::build::{backend, listener, prefix, redirect, route, route_id, rule};
use crate::rig::{Directory, address, control_plane, get, program, receive, serve, serve_hop, until};

/// Plays the filter proxy in a process of its own; started by the edge, not by the test runner.
#[tokio::test]
#[ignore = "a child process of the other tests"]
async fn child() {
    let Some(path) = std::env::var_os("KAKEHI_TEST_SNAPSHOT") else { return };
    let hop = listenfd::ListenFd::from_env().take_unix_listener(0).unwrap().expect("file descriptor 3");
    hop.set_nonblocking(true).unwrap();
    serve_hop(UnixListener::from_std(hop).unwrap(), "child");
    let (mut updates, mut acks) = fetch::connect(Path::new(&path)).await.unwrap();
    while let Ok(Some(update)) = updates.next().await {
        let picky = update.delta.keys().filter(|key| key.to_string().contains("unloved"));
        let refused = picky.map(|key| Refusal { key, reason: "not loved".to_owned() }).collect();
        acks.send(&Ack { stamp: update.stamp, refused }).await.unwrap();
    }
}

struct Edge {
    dir: Directory,
    publisher: Publisher,
    address: IpAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Edge {
    async fn start() -> Self {
        Self::with(program()).await
    }

    /// With this Sōzu.
    async fn with(sozu: PathBuf) -> Self {
        let dir = Directory::new();
        let publisher = control_plane(dir.path(), 9);
        let own = std::env::current_exe().unwrap().to_string_lossy().into_owned();
        let script = "KAKEHI_TEST_SNAPSHOT=\"$2\" exec \"$0\" --exact supervisor::child --ignored --nocapture".to_owned();
        let address = address();
        let settings = EdgeSettings {
            name: "test/edge".to_owned(),
            address,
            runtime_dir: dir.path().join("edge"),
            snapshot: Origin::Local(dir.path().join("snapshot.sock")),
            sozu: SozuOrigin::Spawn { program: sozu, log_level: "error".to_owned() },
            filter: FilterCommand { program: "sh".into(), args: vec!["-c".to_owned(), script, own] },
            force_hop: false,
            force_relay: false,
            health: None,
            linger: Duration::ZERO,
            drain: Duration::from_secs(3),
            capacity: Capacity::default(),
            access_log: None,
        };
        let task = tokio::spawn(async move { kakehi::edge::run(settings).await.unwrap() });
        Self { dir, publisher, address, task }
    }

    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// Whether it may be sent requests, as it says itself.
    async fn is_ready(&self) -> bool {
        let mut stream = UnixStream::connect(self.dir.path().join("edge").join(PAGES)).await.unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: edge\r\n\r\n").await.unwrap();
        receive(&mut stream).await.status == 200
    }

    /// Publishes these as the whole snapshot and waits for the ack.
    async fn hold(&self, resources: impl IntoIterator<Item = Resource>) -> Ack {
        let target = Snapshot::from_resources(resources);
        let stamp = self.publisher.publish(&self.publisher.current().1.diff(&target));
        self.acked(|ack| ack.stamp >= stamp).await
    }

    async fn acked(&self, mut until: impl FnMut(&Ack) -> bool) -> Ack {
        let mut acks = self.publisher.acks();
        let wait = acks.wait_for(|ack| ack.as_ref().is_some_and(&mut until));
        let ack = tokio::time::timeout(Duration::from_secs(10), wait).await.expect("an ack in time").unwrap().clone();
        ack.unwrap()
    }

    /// Process ids of a program started for this edge.
    fn pids(&self, needle: &str) -> Vec<i32> {
        let dir = self.dir.path().to_string_lossy().into_owned();
        let mut pids = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let file = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let words = String::from_utf8_lossy(&[file("cmdline"), file("environ")].concat()).into_owned();
            if words.contains(&dir) && words.contains(needle) {
                pids.push(pid);
            }
        }
        pids
    }
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn updates_reach_both_stages_and_survive_the_death_of_either() {
    let edge = Edge::start().await;
    let (port, app) = (8080, serve("app").await);
    let rules = || vec![rule(prefix("/"), "app"), redirect(prefix("/moved"))];
    let routes = || [listener("web", port, "*"), backend("app", &[app]), route("r", "web", &["app.example"], rules())];

    let ack = edge.hold(routes()).await;
    assert_eq!(ack, Ack { stamp: Stamp { epoch: 9, seq: 1 }, refused: Vec::new() });
    assert_eq!(get(edge.at(port), "app.example", "/").await.by(), "app");
    assert_eq!(get(edge.at(port), "app.example", "/moved").await.by(), "child");

    // Connections queue while the filter proxy is replaced.
    let pids = edge.pids("supervisor::child");
    assert_eq!(pids.len(), 1);
    kill(pids[0]);
    assert_eq!(get(edge.at(port), "app.example", "/moved").await.by(), "child");
    edge.acked(|ack| ack.stamp.seq == 1).await;

    // Sōzu comes back with everything.
    for pid in edge.pids("sozu.toml") {
        kill(pid);
    }
    until(edge.at(port), "app.example", "/", "app").await;

    // A refusal of the filter travels with Sōzu's.
    let unloved = route("unloved", "web", &["other.example"], vec![redirect(prefix("/"))]);
    let ack = edge.hold(routes().into_iter().chain([unloved])).await;
    assert_eq!(ack.refused, [Refusal { key: Key::Route(route_id("unloved")), reason: "not loved".to_owned() }]);
    edge.task.abort();
}

/// For as long as it may be back at once, clients are not sent to other edges.
#[tokio::test]
async fn an_edge_whose_sozu_stays_away_is_not_ready_after_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let sozu = folder.path().join("sozu");
    let install = || std::os::unix::fs::symlink(program(), &sozu).unwrap();
    install();
    let edge = Edge::with(sozu.clone()).await;
    edge.hold([listener("web", 8080, "*"), backend("app", &[serve("app").await])]).await;
    assert!(edge.is_ready().await);

    std::fs::remove_file(&sozu).unwrap();
    let away = Instant::now();
    for pid in edge.pids("sozu.toml") {
        kill(pid);
    }
    while edge.is_ready().await {
        assert!(away.elapsed() < Duration::from_secs(12), "ready without Sōzu");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(away.elapsed() >= Duration::from_millis(9_900), "not ready after {:?}", away.elapsed());

    install();
    let back = Instant::now();
    while !edge.is_ready().await {
        assert!(back.elapsed() < Duration::from_secs(10), "not ready with Sōzu");
        sleep(Duration::from_millis(100)).await;
    }
    edge.task.abort();
}

#[tokio::test]
async fn a_port_that_somebody_else_holds_is_refused_and_taken_when_it_is_free() {
    let edge = Edge::start().await;
    let (busy, port, app) = (8079, 8080, serve("app").await);
    let held = std::net::TcpListener::bind(edge.at(busy)).unwrap();
    let resources = [
        listener("busy", busy, "*"),
        listener("web", port, "*"),
        backend("app", &[app]),
        route("b", "busy", &["*"], vec![rule(prefix("/"), "app")]),
        route("r", "web", &["*"], vec![rule(prefix("/"), "app")]),
    ];
    let ack = edge.hold(resources).await;
    let refused: Vec<String> = ack.refused.iter().map(|refusal| refusal.key.to_string()).collect();
    assert_eq!(refused, ["listener busy"], "{ack:?}");
    assert_eq!(get(edge.at(port), "any.example", "/").await.by(), "app");
    drop(held);
    edge.acked(|ack| ack.refused.is_empty()).await;
    assert_eq!(get(edge.at(busy), "any.example", "/").await.by(), "app");
    edge.task.abort();
}

/// The death of the control plane's process must not leave an edge behind, nor that of the edge a Sōzu: its parent's pipe is
/// its life line. Plays the parent with a shell; the edge is this binary.
#[tokio::test]
#[ignore = "a child process of the other tests"]
async fn lone_edge() {
    let Some(dir) = std::env::var_os("KAKEHI_TEST_EDGE") else { return };
    let dir = Path::new(&dir);
    let settings = EdgeSettings {
        name: "test/lone".to_owned(),
        address: IpAddr::from([127, 0, 0, 1]),
        runtime_dir: dir.join("edge"),
        snapshot: Origin::Local(dir.join("snapshot.sock")),
        sozu: SozuOrigin::Spawn { program: program(), log_level: "error".to_owned() },
        filter: FilterCommand { program: "sleep".into(), args: vec!["1000".to_owned()] },
        force_hop: false,
        force_relay: false,
        health: None,
        linger: Duration::ZERO,
        drain: Duration::from_secs(3),
        capacity: Capacity::default(),
        access_log: None,
    };
    kakehi::edge::run(settings).await.unwrap();
}

#[tokio::test]
async fn an_edge_ends_with_its_parent_and_leaves_nothing_behind() {
    let dir = Directory::new();
    let mut edge = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "supervisor::lone_edge", "--ignored", "--nocapture"])
        .env("KAKEHI_TEST_EDGE", dir.path())
        .stdin(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let command_socket = dir.path().join("edge/a/command.sock");
    let up = async {
        while tokio::net::UnixStream::connect(&command_socket).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), up).await.expect("Sōzu is up");
    drop(edge.stdin.take());
    let status = tokio::time::timeout(Duration::from_secs(10), edge.wait()).await.expect("the edge ends").unwrap();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    // One that was just being started is killed, which takes the system a moment.
    let gone = async {
        while tokio::net::UnixStream::connect(&command_socket).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("Sōzu is gone");
}
