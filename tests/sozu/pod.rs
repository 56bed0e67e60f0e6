//! The processes of an edge pod: a launcher that keeps Sōzu running, and an edge that adopts it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use kakehi::snapshot::Snapshot;
use kakehi::snapshot::publish::Publisher;
use tokio::net::UnixListener;
use tokio::process::{Child, Command};

use crate::build::{backend, listener, prefix, redirect, route, rule};
use crate::rig::{address, get, program, serve, until};

fn start(dir: &Path, words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kakehi"));
    command.args(words).current_dir(dir).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

fn launch(dir: &Path) -> Child {
    start(dir, &["launch", "--dir", &dir.join("sozu").to_string_lossy(), "--sozu", &program().to_string_lossy(), "--linger", "2"])
}

fn edge(dir: &Path, health: SocketAddr) -> Child {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let (runtime, snapshot, socket) = (path("edge"), path("snapshot.sock"), path("sozu/command.sock"));
    let (address, health) = (health.ip().to_string(), health.to_string());
    let words = ["edge", "--name", "test/pod", "--address", &address, "--runtime-dir", &runtime, "--snapshot", &snapshot];
    start(dir, &[&words[..], &["--sozu-socket", &socket, "--health", &health, "--linger", "2"]].concat())
}

fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

/// Process id of the Sōzu that the launcher runs.
fn sozu(launcher: &Child) -> Option<rustix::process::Pid> {
    let children = format!("/proc/{0}/task/{0}/children", launcher.id().unwrap());
    let pid = std::fs::read_to_string(children).unwrap().split_whitespace().next()?.parse().unwrap();
    rustix::process::Pid::from_raw(pid)
}

async fn ready(health: SocketAddr, status: u16) {
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
    let dir = tempfile::tempdir().unwrap();
    let (publisher, at) = (Publisher::new(1), address());
    let socket = UnixListener::bind(dir.path().join("snapshot.sock")).unwrap();
    let server = publisher.clone();
    tokio::spawn(async move { server.serve(socket).await });
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
    rustix::process::kill_process(killed.unwrap(), rustix::process::Signal::KILL).unwrap();
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

    // The end: no longer ready at once, but serving while load balancers take note; then both are gone.
    terminate(&second);
    terminate(&launcher);
    ready(health, 503).await;
    assert_eq!(get(web, "any.example", "/").await.by(), "app");
    for child in [&mut second, &mut launcher] {
        let status = tokio::time::timeout(Duration::from_secs(20), child.wait()).await.expect("an end in time").unwrap();
        assert!(status.success(), "{status}");
    }
    assert!(tokio::net::TcpStream::connect(web).await.is_err(), "nobody listens any more");
}
