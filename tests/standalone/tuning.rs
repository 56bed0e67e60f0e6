//! Limits that an EdgeProfile gives: in both stages, and changed in place.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client;
use super::rig::{Rig, free_port};

/// The most streams that a server allows in its first HTTP/2 settings (RFC 9113 §6.5.2).
fn max_streams(mut stream: impl Read + Write) -> Option<u32> {
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").ok()?;
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    assert_eq!(head[3], 4, "settings come first");
    let mut settings = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    stream.read_exact(&mut settings).ok()?;
    let number = |setting: &[u8]| u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
    settings.chunks(6).find(|setting| setting[..2] == [0, 3]).map(number)
}

/// A port that takes no connection: its queue is full for as long as these live.
fn stuck() -> (u16, TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let waiting = std::iter::from_fn(|| TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok()).collect();
    (address.port(), listener, waiting)
}

/// The threads by which filter proxies of this machine that are descendants of `ancestor` serve.
fn filter_threads(ancestor: u32) -> usize {
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let is_ours = |pid: u32| std::iter::successors(Some(pid), |pid| parent(*pid)).any(|pid| pid == ancestor);
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let threads = |pid: u32| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    all.filter(|pid| is_ours(*pid)).flat_map(threads).map(name).filter(|name| name.starts_with("worker-")).count()
}

/// Two edges with a route to a backend that takes no connection: Sōzu alone, and a relayed one.
struct World {
    rig: Rig,
    relayed: u16,
    stuck: u16,
}

impl World {
    fn start(stuck: u16) -> Self {
        let world = Self { rig: Rig::start(&[], |_, _| {}), relayed: free_port(), stuck };
        let class = fs::read_to_string(world.rig.config().join("gateway.yaml")).unwrap();
        let parameters = "  parametersRef: {group: kakehi.dev, kind: EdgeProfile, name: of-the-class, namespace: demo}\n";
        let controller = "  controllerName: kakehi.dev/gateway-controller\n";
        world.give(&json!({}));
        world.rig.write("gateway.yaml", &class.replace(controller, &format!("{controller}{parameters}")));
        world
    }

    /// Gives both edges this profile.
    fn give(&self, spec: &Value) {
        let meta = |name: &str| json!({"name": name, "namespace": "demo"});
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("stuck"), "spec": {"ports": [{"port": 80}]}});
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": [{"port": self.stuck}],
            "metadata": {"name": "stuck-1", "namespace": "demo", "labels": {"kubernetes.io/service-name": "stuck"}},
            "endpoints": [{"addresses": ["127.0.0.1"]}],
        });
        let rules = json!([{"backendRefs": [{"name": "stuck", "port": 80}]}]);
        let route = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": meta("stuck"),
            "spec": {"parentRefs": [{"name": "web"}, {"name": "relayed"}], "hostnames": ["stuck.localhost"], "rules": rules},
        });
        let listeners = json!([{"name": "http", "port": self.relayed, "protocol": "HTTP"}]);
        let infrastructure = json!({"parametersRef": {"group": "kakehi.dev", "kind": "EdgeProfile", "name": "relayed"}});
        let gateway = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": meta("relayed"),
            "spec": {"gatewayClassName": "kakehi", "listeners": listeners, "infrastructure": infrastructure},
        });
        let profile = |name: &str, spec: &Value| json!({"apiVersion": "kakehi.dev/v1alpha1", "kind": "EdgeProfile", "metadata": meta(name), "spec": spec});
        let own = json!({"forceRelay": true});
        let all = [service, slice, route, gateway, profile("of-the-class", spec), profile("relayed", &own)];
        self.rig.write("tuned.yaml", &all.map(|manifest| manifest.to_string()).join("\n---\n"));
    }

    fn relay(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.relayed).into()
    }

    /// The most streams that Sōzu and the filter proxy allow.
    fn streams(&self) -> [Option<u32>; 2] {
        let roots = fs::read(self.rig.config().join("demo-ca.crt")).unwrap();
        let https = (Ipv4Addr::LOCALHOST, self.rig.ports.https).into();
        let native = client::connect_tls(https, "one.localhost", &roots, &[b"h2"]).ok().and_then(max_streams);
        [native, client::connect(self.relay()).ok().and_then(max_streams)]
    }

    /// What both answer where no connection can be made, and after how long.
    fn waits(&self) -> [(u16, Duration); 2] {
        let wait = |at: SocketAddr| {
            let start = Instant::now();
            let answer = client::get(at, "stuck.localhost", "/", &[]).unwrap();
            (answer.status, start.elapsed())
        };
        std::thread::scope(|scope| {
            let native = scope.spawn(|| wait(self.rig.http()));
            let relay = wait(self.relay());
            [native.join().unwrap(), relay]
        })
    }
}

#[test]
fn limits_hold_in_both_stages_and_change_in_place() {
    let (stuck, _listener, _waiting) = stuck();
    let world = World::start(stuck);
    let rig = &world.rig;
    rig.eventually("the usual limits", || world.streams() == [Some(100); 2]);
    rig.eventually("both serve", || client::get(world.relay(), "x", "/", &[]).is_ok_and(|answer| answer.status == 404));
    let usual = world.waits();
    let tuning = json!({"connectTimeoutSeconds": 1, "maxConcurrentStreams": 7});
    world.give(&tuning);
    rig.eventually("limits of the profile", || world.streams() == [Some(7); 2]);
    for ((stage, usual), tuned) in ["native", "relay"].into_iter().zip(usual).zip(world.waits()) {
        assert_eq!((usual.0, tuned.0), (503, 503), "{stage}");
        assert!(usual.1 >= Duration::from_secs(3) && tuned.1 + Duration::from_millis(1500) < usual.1, "{stage}: {usual:?} {tuned:?}");
    }
    let threads = filter_threads(rig.pid());
    let mut more = tuning;
    more["filterWorkers"] = json!(3);
    world.give(&more);
    // Of the two edges that there are.
    rig.eventually("three threads in place of one, twice", || filter_threads(rig.pid()) == threads + 4);
    rig.eventually("it serves again", || world.streams() == [Some(7); 2]);
}
