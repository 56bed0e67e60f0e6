//! Changes under load lose nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kakehi::snapshot::Resource;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::build::{backend, listener, prefix, redirect, route, rule};
use crate::rig::{Rig, receive, serve};

/// Asks again and again on kept connections; counts what was not answered by a backend.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<(usize, Vec<String>)>>,
}

impl Load {
    fn start(at: SocketAddr, host: &'static str, targets: &'static [&'static str]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..8).map(|_| tokio::spawn(ask(at, host, targets, stop.clone()))).collect();
        Self { stop, clients }
    }

    async fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut asked, mut failures) = (0, Vec::new());
        for client in self.clients {
            let (number, failed) = client.await.unwrap();
            asked += number;
            failures.extend(failed);
        }
        (asked, failures)
    }
}

async fn ask(at: SocketAddr, host: &str, targets: &[&str], stop: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut asked, mut failures) = (0, Vec::new());
    let mut stream = TcpStream::connect(at).await.unwrap();
    for target in targets.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        asked += 1;
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = match stream.write_all(request.as_bytes()).await {
            Ok(()) => receive(&mut stream).await,
            Err(_) => crate::rig::Answer::default(),
        };
        if answer.by().is_empty() {
            failures.push(format!("{target}: {} {}", answer.status, answer.head.lines().next().unwrap_or_default()));
            stream = TcpStream::connect(at).await.unwrap();
        }
    }
    (asked, failures)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_and_backends_change_under_load_without_a_failed_request() {
    let mut rig = Rig::start().await;
    let (a, b) = (serve("a").await, serve("b").await);
    // Every form serves all three paths, by other frontends to other clusters each time, and through the hop.
    let forms: [fn() -> Vec<kakehi::model::Rule>; 5] = [
        || vec![rule(prefix("/"), "a")],
        || vec![rule(prefix("/"), "b"), rule(prefix("/x"), "a"), redirect(prefix("/y"))],
        || vec![redirect(prefix("/"))],
        || vec![rule(prefix("/x"), "b"), rule(prefix("/y"), "a"), rule(prefix("/"), "a")],
        || vec![rule(prefix("/"), "b"), redirect(prefix("/x"))],
    ];
    let hold = |form: usize, backends: [&[u16]; 2], host: &str| -> Vec<Resource> {
        let others =
            (0..20).map(|number| route(&format!("o{number}"), "web", &["other.example"], vec![rule(prefix(&format!("/{number}")), "a")]));
        let all =
            [listener("web", 8080, "*"), backend("a", backends[0]), backend("b", backends[1]), route("r", "web", &[host], forms[form]())];
        all.into_iter().chain(others).collect()
    };
    for host in ["app.example", "*"] {
        assert!(rig.hold(hold(0, [&[a], &[b]], host)).await.is_empty());
        let load = Load::start(rig.at(8080), "app.example", &["/", "/x", "/x/y?z", "/y"]);
        for round in 0..40 {
            let backends: [&[u16]; 2] = if round % 2 == 0 { [&[a], &[a, b]] } else { [&[a, b], &[b]] };
            assert!(rig.hold(hold(round % forms.len(), backends, host)).await.is_empty());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (asked, failures) = load.end().await;
        assert!(asked > 500, "only {asked} requests");
        assert_eq!(failures, Vec::<String>::new(), "of {asked}");
    }
}
