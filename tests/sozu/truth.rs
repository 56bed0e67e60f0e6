//! An ack is true: what Sōzu refuses is named, neighbours go through, and what was lost comes back.

use kakehi::edge::Capacity;
use kakehi::edge::sozu::{Kin, Maker, Silence, Sozu, SpawnSettings, Wire};
use kakehi::model::{Certificate, Hostname, PrivateKey};
use kakehi::snapshot::{Key, Resource};
use rustix::process::{Pid, Signal, kill_process};
use sozu_command_lib::proto::command::ListWorkers;
use sozu_command_lib::proto::command::request::RequestType;

use crate::build::{backend, listener, prefix, route, route_id, rule};
use crate::rig::{Rig, address, alone, program, serve, until};
use crate::tls;

/// A name that our model allows and Sōzu's router does not: no valid punycode.
const UNBUILDABLE: &str = "xn--a.example";

fn refused(refusals: &[kakehi::snapshot::wire::Refusal]) -> Vec<Key> {
    refusals.iter().map(|refusal| refusal.key.clone()).collect()
}

#[tokio::test]
async fn a_refused_route_is_named_and_its_neighbours_are_served() {
    assert!(Hostname::parse(UNBUILDABLE).is_ok());
    let mut rig = Rig::start().await;
    let app = backend("app", &[serve("app").await]);
    let good = |name: &str| route(name, "web", &[&format!("{name}.example")], vec![rule(prefix("/"), "app")]);
    let bad = |path: &str| route("bad", "web", &[UNBUILDABLE], vec![rule(prefix(path), "app")]);
    let mut resources: Vec<Resource> = (0..40).map(|number| good(&format!("r{number}"))).collect();
    resources.extend([listener("web", 8080, "*"), app.clone()]);

    let with = |extra: Vec<Resource>| resources.iter().cloned().chain(extra);
    let refusals = rig.hold(with(vec![bad("/")])).await;
    assert_eq!(refused(&refusals), [Key::Route(route_id("bad"))]);
    assert!(!refusals[0].reason.is_empty());
    for number in [0, 20, 39] {
        assert_eq!(rig.who(8080, &format!("r{number}.example"), "/").await, "app");
    }
    // It stays refused while others change, is tried again when it changes, and is forgotten when it goes.
    assert_eq!(refused(&rig.hold(with(vec![bad("/"), good("new")])).await), [Key::Route(route_id("bad"))]);
    assert_eq!(rig.who(8080, "new.example", "/").await, "app");
    assert_eq!(refused(&rig.hold(with(vec![bad("/other"), good("new")])).await), [Key::Route(route_id("bad"))]);
    let mended = route("bad", "web", &["mended.example"], vec![rule(prefix("/"), "app")]);
    assert!(rig.hold(with(vec![mended])).await.is_empty());
    assert_eq!(rig.who(8080, "mended.example", "/").await, "app");
    assert_eq!(refused(&rig.hold(with(vec![bad("/")])).await), [Key::Route(route_id("bad"))]);
    assert!(rig.hold(with(vec![])).await.is_empty());
}

#[tokio::test]
async fn a_refused_certificate_is_named() {
    let mut rig = Rig::start().await;
    let ((good, print), (Resource::Certificate(other), _)) =
        (tls::certificate("good", &["good.example"]), tls::certificate("bad", &["bad.example"]))
    else {
        unreachable!()
    };
    let bad = Certificate { key: PrivateKey::new("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), ..other.clone() };
    let listeners = [tls::https("good", 8443, "good.example", &["good"]), tls::https("bad", 8443, "bad.example", &["bad"])];
    let refusals = rig.hold(listeners.clone().into_iter().chain([good.clone(), Resource::Certificate(bad)])).await;
    assert_eq!(refused(&refusals), [Key::Certificate(other.id.clone())], "{refusals:?}");
    assert_eq!(tls::shown(rig.at(8443), "good.example").await, print);
    assert!(rig.hold(listeners.into_iter().chain([good, Resource::Certificate(other.clone())])).await.is_empty());
    assert_eq!(tls::shown(rig.at(8443), "bad.example").await, other.fingerprint);
}

#[tokio::test]
async fn a_killed_sozu_comes_back_with_everything() {
    let mut rig = Rig::start().await;
    let routes =
        (0..50).map(|number| route(&format!("r{number}"), "web", &[&format!("r{number}.example")], vec![rule(prefix("/"), "app")]));
    let resources: Vec<Resource> = routes.chain([listener("web", 8080, "*"), backend("app", &[serve("app").await])]).collect();
    assert!(rig.hold(resources.clone()).await.is_empty());
    for _ in 0..2 {
        let pid = rig.sozu.pid().unwrap();
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
        rig.sozu.ended().await;
        assert!(rig.hold(resources.clone()).await.is_empty());
        assert_ne!(rig.sozu.pid().unwrap(), pid);
        until(rig.at(8080), "r0.example", "/", "app").await;
        assert_eq!(rig.who(8080, "r49.example", "/").await, "app");
        assert_eq!(workers_in(rig.dir.path()), rig.sozu.workers(), "none of the old ones shares the port");
    }
}

/// Process ids of the workers of any Sōzu that was started in a directory.
fn workers_in(dir: &std::path::Path) -> Vec<i32> {
    let tmpdir = format!("TMPDIR={}", dir.display());
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let has = |file: &str, word: &str| {
            let text = std::fs::read(entry.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&text).split('\0').any(|held| held == word)
        };
        if let Ok(pid) = entry.file_name().to_string_lossy().parse()
            && has("cmdline", "worker")
            && has("environ", &tmpdir)
        {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    pids
}

/// A worker can outlive its main process; here one does, for it is stopped when that dies.
#[tokio::test]
async fn a_worker_that_outlives_its_main_process_is_ended() {
    let mut rig = Rig::start().await;
    let resources = || [listener("web", 8080, "*"), route("r", "web", &["*"], vec![rule(prefix("/"), "absent")])];
    assert!(rig.hold(resources()).await.is_empty());
    let worker = Pid::from_raw(rig.sozu.workers()[0]).unwrap();
    kill_process(worker, Signal::STOP).unwrap();
    kill_process(Pid::from_raw(rig.sozu.pid().unwrap().cast_signed()).unwrap(), Signal::KILL).unwrap();
    rig.sozu.ended().await;
    assert!(rig.hold(resources()).await.is_empty());
    assert_eq!(workers_in(rig.dir.path()), rig.sozu.workers());
    assert_eq!(rig.get(8080, "any.example", "/").await.status, 503);
}

/// Two Sōzu can listen on one address, each for half of the connections; the edge does not let it come to that.
#[tokio::test]
async fn an_address_of_another_sozu_is_not_shared() {
    let (mut first, mut second) = (Rig::start().await, Rig::start().await);
    second.move_to(&first).await;
    let resources = |name: &'static str, port| {
        [listener("web", 8080, "*"), backend(name, &[port]), route("r", "web", &["*"], vec![rule(prefix("/"), name)])]
    };
    let (a, b) = (serve("a").await, serve("b").await);
    assert!(first.hold(resources("a", a)).await.is_empty());
    let refusals = second.hold(resources("b", b)).await;
    assert_eq!(refused(&refusals), [Key::Listener(kakehi::model::ListenerName("web".to_owned()))]);
    for _ in 0..20 {
        assert_eq!(first.who(8080, "any.example", "/").await, "a");
    }
    assert!(second.sozu.retry().await.unwrap());
    assert_eq!(second.sozu.shadow().refusals().len(), 1);
    assert!(first.hold([]).await.is_empty());
    assert!(second.sozu.retry().await.unwrap());
    assert!(second.sozu.shadow().refusals().is_empty());
    assert_eq!(first.who(8080, "any.example", "/").await, "b");
}

/// A Sōzu that a supervisor before left behind would share the ports; it is stopped.
#[tokio::test]
async fn a_sozu_left_behind_is_stopped() {
    let mut rig = Rig::start().await;
    let resources = || [listener("web", 8080, "*"), route("r", "web", &["*"], vec![rule(prefix("/"), "absent")])];
    assert!(rig.hold(resources()).await.is_empty());
    let settings = SpawnSettings {
        program: program(),
        dir: rig.dir.path().to_owned(),
        log_level: "error".to_owned(),
        budget: Capacity::default().launched(),
    };
    let wire = Wire {
        address: rig.at(0).ip(),
        hop: rig.dir.path().join("hop.sock"),
        relay: rig.dir.path().join("relay.sock"),
        silence: Silence::default(),
    };
    let mut next = Sozu::start(Maker::Spawn(settings), wire, alone()).await.unwrap();
    rig.sozu.ended().await;
    assert!(next.apply(rig.planner.target()).await.unwrap().is_empty());
    assert_eq!(rig.get(8080, "any.example", "/").await.status, 503);
}

/// What somebody else does to Sōzu behind the edge's back is found, and put right.
#[tokio::test]
async fn an_audit_finds_what_was_not_applied() {
    use kakehi::edge::sozu::Socket;
    let mut rig = Rig::start().await;
    let resources = [
        listener("web", 8080, "*"),
        backend("app", &[serve("app").await]),
        route("r", "web", &["app.example"], vec![rule(prefix("/"), "app")]),
    ];
    assert!(rig.hold(resources.clone()).await.is_empty());
    let pid = rig.sozu.pid();
    let mut socket = Socket::connect(&rig.dir.path().join("command.sock")).await.unwrap();
    let removal = RequestType::RemoveCluster("test/app:80".to_owned());
    assert!(socket.request(removal, std::time::Duration::from_secs(5)).await.unwrap().ok);
    assert_eq!(rig.who(8080, "app.example", "/").await, "404");
    // Nothing was applied to that cluster since: nothing to compare. Then something is.
    assert!(!rig.sozu.audit(rig.planner.target()).await.unwrap());
    let delta = rig.planner.snapshot().diff(&kakehi::snapshot::Snapshot::from_resources(resources.into_iter().chain([route(
        "s",
        "web",
        &["other.example"],
        vec![rule(prefix("/"), "app")],
    )])));
    rig.planner.apply(&delta);
    assert!(rig.sozu.apply(rig.planner.target()).await.unwrap().is_empty());
    assert!(rig.sozu.audit(rig.planner.target()).await.unwrap());
    assert_ne!(rig.sozu.pid(), pid);
    for host in ["app.example", "other.example"] {
        until(rig.at(8080), host, "/", "app").await;
    }
}

/// A state file holds private keys: nobody else can read it, and it is gone afterwards.
#[tokio::test]
async fn nothing_is_left_in_the_runtime_directory() {
    let mut rig = Rig::start().await;
    let (certificate, _) = tls::certificate("secret", &["app.example"]);
    assert!(rig.hold([tls::https("web", 8443, "app.example", &["secret"]), certificate]).await.is_empty());
    let mut names: Vec<String> =
        std::fs::read_dir(rig.dir.path()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, ["access.log", "command.sock", "hop.sock", "output.log", "sozu.toml"]);
}

/// One without a twin that may have run before.
fn found() -> Kin {
    Kin::family(1, true).remove(0)
}

/// A Sōzu that somebody else keeps running: adopted with its state when that is just what is wanted, asked to restart when it
/// holds something else.
#[tokio::test]
async fn a_sozu_of_somebody_else_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("command.sock");
    let config = dir.path().join("sozu.toml");
    std::fs::write(&config, format!("command_socket = {socket:?}\nworker_count = 1\nmax_connections = 1000\nlog_level = \"error\"\n"))
        .unwrap();
    let script = "while true; do rm -f \"$2\"; \"$0\" --config \"$1\" start & echo $! > \"$3\"; wait $!; done";
    let pid_file = dir.path().join("pid");
    let mut launcher = tokio::process::Command::new("sh")
        .args(["-c".as_ref(), script.as_ref(), program().as_os_str(), config.as_os_str(), socket.as_os_str(), pid_file.as_os_str()])
        .env("TMPDIR", dir.path())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = || std::fs::read_to_string(&pid_file).unwrap().trim().parse::<i32>().unwrap();
    let wire =
        Wire { address: address(), hop: dir.path().join("hop.sock"), relay: dir.path().join("relay.sock"), silence: Silence::default() };
    let resources = [
        listener("web", 8080, "*"),
        tls::https("secure", 8443, "one.example", &["one"]),
        tls::certificate("one", &["One.Example"]).0,
        backend("app", &[serve("app").await]),
        backend("idle", &[]),
        route("r", "web", &["*"], vec![rule(prefix("/"), "app"), rule(prefix("/idle"), "idle")]),
    ];
    let target = crate::rig::plan(resources);
    let at = std::net::SocketAddr::new(wire.address, 8080);

    let mut first = Sozu::start(Maker::Adopt(socket.clone()), wire.clone(), found()).await.unwrap();
    assert!(first.apply(&target).await.unwrap().is_empty());
    until(at, "any.example", "/", "app").await;
    let (before, worker) = (pid(), first.workers().to_vec());
    drop(first);
    let mut second = Sozu::start(Maker::Adopt(socket.clone()), wire.clone(), found()).await.unwrap();
    until(at, "any.example", "/", "app").await;
    assert!(second.apply(&target).await.unwrap().is_empty());
    assert_eq!((pid(), second.workers()), (before, worker.as_slice()), "it holds what is wanted");
    // What comes later is a difference to that.
    let other = [
        listener("web", 8080, "*"),
        backend("app", &[serve("app").await]),
        backend("new", &[serve("new").await]),
        route("r", "web", &["*"], vec![rule(prefix("/"), "app"), rule(prefix("/new"), "new")]),
    ];
    let other = crate::rig::plan(other);
    assert!(second.apply(&other).await.unwrap().is_empty());
    until(at, "any.example", "/new", "new").await;
    assert_eq!(pid(), before);
    drop(second);

    let mut third = Sozu::start(Maker::Adopt(socket), wire, found()).await.unwrap();
    until(at, "any.example", "/new", "new").await;
    assert!(third.apply(&target).await.unwrap().is_empty());
    assert_ne!((pid(), third.workers()), (before, worker.as_slice()), "what it held is not what is wanted");
    until(at, "any.example", "/new", "app").await;

    launcher.kill().await.unwrap();
    kill_process(Pid::from_raw(pid()).unwrap(), Signal::KILL).unwrap();
}

/// Of two requests that Sōzu finds buffered it executes the last and never answers the first; so the client sends one at a
/// time, and gives a connection up that did not answer.
#[tokio::test]
async fn a_socket_that_did_not_answer_is_given_up() {
    use kakehi::edge::sozu::{Socket, SocketError};
    let rig = Rig::start().await;
    let mut socket = Socket::connect(&rig.dir.path().join("command.sock")).await.unwrap();
    let workers = || RequestType::ListWorkers(ListWorkers {});
    assert!(socket.request(workers(), std::time::Duration::from_secs(5)).await.unwrap().ok);
    let main = Pid::from_raw(rig.sozu.pid().unwrap().cast_signed()).unwrap();
    kill_process(main, Signal::STOP).unwrap();
    let late = socket.request(workers(), std::time::Duration::from_millis(50)).await;
    kill_process(main, Signal::CONT).unwrap();
    assert!(matches!(late, Err(SocketError::Timeout(_))), "{late:?}");
    assert!(matches!(socket.request(workers(), std::time::Duration::from_secs(5)).await, Err(SocketError::Spoilt)));
}
