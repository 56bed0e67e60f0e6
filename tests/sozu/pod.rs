//! The processes of an edge pod: a launcher that keeps Sōzu running, and an edge that adopts it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use kakehi::model::{Backend, BackendProtocol};
use kakehi::snapshot::publish::Publisher;
use kakehi::snapshot::{Resource, Snapshot};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::build::{backend, backend_id, listener, prefix, redirect, route, rule};
use crate::rig::{Directory, address, control_plane, get, program, receive, serve, try_send, until};

fn start(dir: &Path, words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kakehi"));
    command.args(words).current_dir(dir).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

pub fn launch(dir: &Path) -> Child {
    start(dir, &["launch", "--dir", &dir.join("sozu").to_string_lossy(), "--sozu", &program().to_string_lossy(), "--linger", "2"])
}

pub fn edge(dir: &Path, health: SocketAddr) -> Child {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let (runtime, snapshot, sozus) = (path("edge"), path("snapshot.sock"), path("sozu"));
    let (address, health) = (health.ip().to_string(), health.to_string());
    let words = ["edge", "--name", "test/pod", "--address", &address, "--runtime-dir", &runtime, "--snapshot", &snapshot];
    start(dir, &[&words[..], &["--sozu-dir", &sozus, "--health", &health, "--linger", "2"]].concat())
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().unwrap().cast_signed()).unwrap()
}

fn terminate(child: &Child) {
    kill_process(pid(child), Signal::TERM).unwrap();
}

fn children(of: Pid) -> Vec<Pid> {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", of.as_raw_nonzero())).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

/// Kills all at once, as the end of a container does.
fn kill_container(first: Pid) {
    let mut all = vec![first];
    let mut seen = 0;
    while seen < all.len() {
        all.extend(children(all[seen]));
        seen += 1;
    }
    all.into_iter().for_each(|pid| kill_process(pid, Signal::KILL).unwrap());
}

/// Process id of the Sōzu that the launcher runs.
fn sozu(launcher: &Child) -> Option<Pid> {
    children(pid(launcher)).first().copied()
}

pub async fn ready(health: SocketAddr, status: u16) {
    let since = tokio::time::Instant::now();
    loop {
        if tokio::net::TcpStream::connect(health).await.is_ok() && get(health, "health", "/readyz").await.status == status {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{health} does not answer {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_processes_of_a_pod_survive_one_another_and_end_gently() {
    let dir = Directory::new();
    let (publisher, at) = (control_plane(dir.path(), 1), address());
    let (health, web) = (SocketAddr::new(at, 8081), SocketAddr::new(at, 8080));

    // The edge waits for Sōzu, and is not ready without a snapshot.
    let mut first = edge(dir.path(), health);
    ready(health, 503).await;
    let mut launcher = launch(dir.path());
    let app = serve("app").await;
    let rules = vec![rule(prefix("/"), "app"), redirect(prefix("/moved"))];
    let routes = [listener("web", 8080, "*"), backend("app", &[app]), route("r", "web", &["*"], rules)];
    publisher.publish(&Snapshot::from_resources(routes).as_delta());
    ready(health, 200).await;
    assert_eq!(get(web, "any.example", "/").await.by(), "app");
    assert_eq!(get(web, "any.example", "/moved").await.status, 302);

    // Sōzu dies: the launcher replaces it, the edge fills it again.
    // Its worker outlives it for a moment; once the next process is there, it is gone.
    let killed = sozu(&launcher);
    kill_process(killed.unwrap(), Signal::KILL).unwrap();
    while sozu(&launcher).is_none_or(|pid| Some(pid) == killed) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    until(web, "any.example", "/", "app").await;

    // The edge dies: Sōzu serves on, and the next one takes it over as it is.
    let kept = sozu(&launcher);
    first.kill().await.unwrap();
    assert_eq!(get(web, "any.example", "/").await.by(), "app");
    let mut second = edge(dir.path(), health);
    ready(health, 200).await;
    assert_eq!(get(web, "any.example", "/").await.by(), "app");
    assert_eq!(get(web, "any.example", "/moved").await.status, 302);
    assert_eq!(sozu(&launcher), kept);

    // The end: no longer ready at once, but serving while load balancers take note; then both are gone. It comes while Sōzu
    // owes the edge an answer.
    let main = sozu(&launcher).unwrap();
    kill_process(main, Signal::STOP).unwrap();
    sleep(Duration::from_millis(1200)).await;
    terminate(&second);
    terminate(&launcher);
    sleep(Duration::from_millis(100)).await;
    kill_process(main, Signal::CONT).unwrap();
    ready(health, 503).await;
    let told = Instant::now();
    while told.elapsed() < Duration::from_secs(1) {
        assert_eq!(get(web, "any.example", "/").await.by(), "app");
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(sozu(&launcher), kept);
    for child in [&mut second, &mut launcher] {
        let status = tokio::time::timeout(Duration::from_secs(20), child.wait()).await.expect("an end in time").unwrap();
        assert!(status.success(), "{status}");
    }
    assert!(tokio::net::TcpStream::connect(web).await.is_err(), "nobody listens any more");
}

/// Ports that Sōzu reads, and relays.
const WEB: u16 = 8080;
const RELAYED: u16 = 8082;

/// A control plane with rules that Sōzu decides, that the filter decides behind it, and on a port that is relayed.
async fn publish(dir: &Path) -> Publisher {
    let publisher = control_plane(dir, 1);
    let rules = || vec![rule(prefix("/"), "app"), redirect(prefix("/moved"))];
    let h2c = Backend::new(backend_id("h2c"), BackendProtocol::H2c, Vec::new());
    let resources = [
        listener("web", WEB, "*"),
        listener("relayed", RELAYED, "*"),
        backend("app", &[serve("app").await]),
        Resource::Backend(h2c),
        route("r", "web", &["*"], rules()),
        route("s", "relayed", &["*"], rules().into_iter().chain([rule(prefix("/h2c"), "h2c")]).collect()),
    ];
    publisher.publish(&Snapshot::from_resources(resources).as_delta());
    publisher
}

struct Request {
    asked: Instant,
    /// When it began: on a relayed port with its connection, which ends with the filter.
    since: Instant,
    /// It got the status that it should.
    fine: bool,
}

/// One after another until `end`. A kept connection that is closed between two of them is no request.
async fn load(at: SocketAddr, kept: bool, (target, status): (&'static str, u16), mut end: watch::Receiver<bool>) -> Vec<Request> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: any.example\r\n\r\n");
    let mut all = Vec::new();
    let mut held: Option<TcpStream> = None;
    let mut opened = Instant::now();
    while !*end.borrow_and_update() {
        let asked = Instant::now();
        let mut since = asked;
        let answered = if kept {
            let exchange = async {
                let open = held.take().filter(|stream| stream.try_read(&mut [0]).is_err());
                let mut stream = match open {
                    Some(stream) => stream,
                    None => {
                        opened = asked;
                        TcpStream::connect(at).await?
                    }
                };
                if at.port() == RELAYED {
                    since = opened;
                }
                stream.write_all(request.as_bytes()).await?;
                let answer = receive(&mut stream).await;
                if !answer.header("connection").contains(&"close") {
                    held = Some(stream);
                }
                std::io::Result::Ok(answer)
            };
            timeout(Duration::from_secs(5), exchange).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        } else {
            try_send(at, &request).await
        };
        let fine = answered.as_ref().is_ok_and(|answer| answer.status == status);
        all.push(Request { asked, since, fine });
        sleep(Duration::from_millis(5)).await;
    }
    all
}

#[tokio::test]
async fn nothing_is_lost_but_what_is_in_flight_while_a_container_is_away() {
    let dir = Directory::new();
    let at = address();
    let _publisher = publish(dir.path()).await;
    let health = SocketAddr::new(at, 8081);
    let mut launcher = launch(dir.path());
    let mut supervisor = edge(dir.path(), health);
    ready(health, 200).await;

    let (end, ended) = watch::channel(false);
    let mut loads = JoinSet::new();
    for (port, target, status) in [(WEB, "/", 200), (WEB, "/moved", 302), (RELAYED, "/", 200), (RELAYED, "/moved", 302)] {
        for kept in [false, true] {
            loads.spawn(load(SocketAddr::new(at, port), kept, (target, status), ended.clone()));
        }
    }
    sleep(Duration::from_millis(500)).await;
    kill_container(pid(&supervisor));
    let killed = Instant::now();
    supervisor.wait().await.unwrap();
    // As long as it takes to start a container.
    sleep(Duration::from_secs(1)).await;
    let mut supervisor = edge(dir.path(), health);
    ready(health, 200).await;
    let back = Instant::now();
    sleep(Duration::from_millis(500)).await;
    end.send_replace(true);
    for all in loads.join_all().await {
        let late = all.iter().filter(|request| request.since > killed && !request.fine).count();
        let lost = all.iter().filter(|request| !request.fine).count();
        assert!(lost <= 1 && late == 0, "{lost} of {} lost, {late} of them began after the end", all.len());
        assert!(all.iter().any(|request| request.asked > back), "there were requests to the end");
    }

    // The launcher goes with Sōzu and the sockets: the supervisor makes everything right with the next.
    kill_container(pid(&launcher));
    launcher.wait().await.unwrap();
    let mut launcher = launch(dir.path());
    for (port, target) in [(WEB, "/"), (WEB, "/moved"), (RELAYED, "/"), (RELAYED, "/moved")] {
        let at = SocketAddr::new(at, port);
        let right = async {
            while !try_send(at, &format!("GET {target} HTTP/1.1\r\nHost: any.example\r\n\r\n"))
                .await
                .is_ok_and(|answer| matches!(answer.status, 200 | 302))
            {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(15), right).await.unwrap_or_else(|_| panic!("{at} {target} does not come back"));
    }
    kill_container(pid(&supervisor));
    kill_container(pid(&launcher));
    for child in [&mut supervisor, &mut launcher] {
        child.wait().await.unwrap();
    }
}
