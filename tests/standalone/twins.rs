//! What clients notice when a process of an edge is killed or stopped: only what that process held.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::client::{connect, exchange};
use super::lifecycle::{alive, begins, children};
use super::rig::{Rig, free_port};

/// Clients that come by a new connection for each request, for each stage, and their pause in between.
const CLIENTS: usize = 3;
const PACE: Duration = Duration::from_millis(3);

/// A request that failed, and when its client began to connect; without a time it was not connected.
struct Failure {
    began: Option<Instant>,
    what: String,
}

/// Clients that ask until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(usize, Vec<Failure>)>>,
}

impl Load {
    fn start(rig: &Rig) -> Self {
        let (stop, at) = (Arc::new(AtomicBool::new(false)), rig.http());
        let client = |target: &'static str| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let (mut requests, mut failures) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    requests += 1;
                    let began = Instant::now();
                    let connected = connect(at);
                    let began = connected.is_ok().then_some(began);
                    let answer = connected.and_then(|stream| exchange(stream, "demo.localhost", target, &[]));
                    let what = answer.map(|answer| answer.status.to_string()).unwrap_or_else(|error| error.to_string());
                    if what != "200" {
                        failures.push(Failure { began, what: format!("{target}: {what}") });
                    }
                    std::thread::sleep(PACE);
                }
                (requests, failures)
            })
        };
        // Natively, and over the hop.
        Self { clients: (0..CLIENTS).flat_map(|_| ["/", "/split"]).map(client).collect(), stop }
    }

    /// Stops them; failed requests on connections that were begun before the processes that were killed had gone are no fault.
    fn end(self, row: &str, gone: Instant) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut requests, mut failures) = (0, Vec::new());
        for client in self.clients {
            let (number, failed) = client.join().unwrap();
            requests += number;
            failures.extend(failed);
        }
        let (inherent, faults): (Vec<_>, Vec<_>) =
            failures.into_iter().partition(|failure| failure.began.is_some_and(|began| began < gone));
        eprintln!("{row}: {requests} requests, {} in flight on the killed process", inherent.len());
        assert!(requests > 100, "{row}: {requests}");
        let texts: BTreeSet<&str> = faults.iter().map(|failure| failure.what.as_str()).collect();
        assert!(faults.is_empty(), "{row}: {} of {requests}: {texts:?}", faults.len());
    }
}

/// The main process of the twin called `name`, and its worker.
fn twin(rig: &Rig, name: &str) -> Option<[u32; 2]> {
    let processes = children(rig.pid());
    let config = format!("/sozu/{name}/sozu.toml");
    let (main, _) = processes.iter().find(|(_, command)| begins(command, "sozu --config") && command.contains(&config))?;
    let (worker, _) = children(*main).into_iter().find(|(_, command)| command.contains("worker"))?;
    Some([*main, worker])
}

/// Both are there and hold everything.
fn whole(rig: &Rig) {
    let in_step = |name| format!("kakehi_sozu_in_step{{edge=\"demo/web\",sozu=\"{name}\"}} 1");
    rig.eventually("both twins serve", || {
        let page = rig.admin("/metrics").body;
        ["a", "b"].into_iter().all(|name| page.contains(&in_step(name)) && twin(rig, name).is_some())
    });
}

/// Sends a signal to the first, and waits until it and those that share its fate are gone.
fn strike(rig: &Rig, row: &str, signal: Signal, pids: &[u32]) {
    whole(rig);
    let load = Load::start(rig);
    std::thread::sleep(Duration::from_millis(300));
    kill_process(Pid::from_raw(pids[0].cast_signed()).unwrap(), signal).unwrap();
    rig.eventually(row, || !pids.iter().any(|pid| alive(*pid)));
    let gone = Instant::now();
    std::thread::sleep(Duration::from_millis(500));
    whole(rig);
    load.end(row, gone);
}

#[test]
fn a_kill_costs_clients_nothing_but_what_the_process_held() {
    let rig = Rig::start(&[], |_, _| ());
    whole(&rig);
    for name in ["a", "b"] {
        let pids = twin(&rig, name).unwrap();
        strike(&rig, &format!("kill -9 of the worker of {name}"), Signal::KILL, &pids[1..]);
        let pids = twin(&rig, name).unwrap();
        strike(&rig, &format!("kill -9 of the main process of {name}"), Signal::KILL, &pids);
    }
    let supervisor = children(rig.pid()).into_iter().find(|(_, command)| begins(command, "kakehi edge")).unwrap().0;
    let sozus = ["a", "b"].map(|name| twin(&rig, name).unwrap());
    strike(&rig, "kill -9 of the supervisor", Signal::KILL, &[supervisor]);
    assert_eq!(["a", "b"].map(|name| twin(&rig, name).unwrap()), sozus, "the next supervisor took them over");
}

/// The Sōzus and the filter proxy serve on without their launcher by the same sockets, and the next one keeps them; at the end they
/// go with it.
#[test]
fn the_launcher_is_replaced_under_its_sozus() {
    let mut rig = Rig::start(&[], |_, _| ());
    whole(&rig);
    let find = |rig: &Rig| children(rig.pid()).into_iter().find(|(_, command)| begins(command, "kakehi launch")).map(|(pid, _)| pid);
    let (launcher, sozus) = (find(&rig).unwrap(), ["a", "b"].map(|name| twin(&rig, name).unwrap()).concat());
    let filter = children(rig.pid()).into_iter().find(|(_, command)| begins(command, "kakehi filter")).unwrap().0;
    let load = Load::start(&rig);
    std::thread::sleep(Duration::from_millis(300));
    let killed = Instant::now();
    kill_process(Pid::from_raw(launcher.cast_signed()).unwrap(), Signal::KILL).unwrap();
    rig.eventually("another launcher", || !alive(launcher) && find(&rig).is_some_and(|pid| pid != launcher));
    std::thread::sleep(Duration::from_secs(3));
    assert!(sozus.iter().chain([&filter]).all(|pid| alive(*pid)), "the next launcher keeps them");
    load.end("kill -9 of the launcher", killed);
    assert!(rig.terminate());
    rig.eventually("all processes ended", || sozus.iter().all(|pid| !alive(*pid)));
}

#[test]
fn a_main_process_that_hangs_is_replaced_while_its_twin_serves() {
    let rig = Rig::start(&[], |_, _| ());
    whole(&rig);
    let pids = twin(&rig, "b").unwrap();
    strike(&rig, "SIGSTOP of the main process of b", Signal::STOP, &pids);
    assert!(rig.admin("/metrics").body.contains("kakehi_edge_hangs_total{edge=\"demo/web\",process=\"sozu\"} 1"));
}

/// Twins share a port with each other, and with no other process.
#[test]
fn a_port_of_another_process_is_refused_by_both_and_taken_when_it_is_free() {
    let busy = free_port();
    let held = std::net::TcpListener::bind(("127.0.0.1", busy)).unwrap();
    let gateway = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: other, namespace: demo}}\nspec:\n  gatewayClassName: kakehi\n  listeners: [{{name: http, port: {busy}, protocol: HTTP}}]\n"
    );
    let rig = Rig::start(&[], |config, _| std::fs::write(config.join("other.yaml"), gateway).unwrap());
    let refused = |number: u8| format!("kakehi_sozu_listeners{{edge=\"demo/other\",state=\"refused\"}} {number}");
    rig.eventually("the port is refused", || rig.admin("/metrics").body.contains(&refused(1)));
    drop(held);
    rig.eventually("the port is taken", || rig.admin("/metrics").body.contains(&refused(0)));
    rig.eventually("it is served", || connect(([127, 0, 0, 1], busy).into()).is_ok());
}

/// A small site may have one Sōzu.
#[test]
fn one_sozu_is_enough_where_the_profile_says_so() {
    let profile =
        "apiVersion: kakehi.dev/v1alpha1\nkind: EdgeProfile\nmetadata: {name: small, namespace: demo}\nspec: {capacity: {sozus: 1}}\n";
    let rig = Rig::start(&[], |config, _| {
        std::fs::write(config.join("profile.yaml"), profile).unwrap();
        let path = config.join("gateway.yaml");
        let gateway = std::fs::read_to_string(&path).unwrap();
        let class = "  gatewayClassName: kakehi\n";
        let with = format!("{class}  infrastructure: {{parametersRef: {{group: kakehi.dev, kind: EdgeProfile, name: small}}}}\n");
        assert!(gateway.contains(class), "{gateway}");
        std::fs::write(path, gateway.replace(class, &with)).unwrap();
    });
    rig.eventually("served", || twin(&rig, "a").is_some());
    assert!(twin(&rig, "b").is_none());
    assert_eq!(rig.get("/", &[]).backend(), "blue");
}
