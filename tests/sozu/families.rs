//! An edge in a pod whose address is of the IPv6 family serves clients of both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use kakehi::snapshot::Snapshot;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::build::{backend, listener, prefix, route, rule};
use crate::rig::{Directory, control_plane, get, program, serve, until};

/// A port that is free on every address.
async fn free() -> u16 {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_pod_with_an_ipv6_address_serves_both_families() {
    let dir = Directory::new();
    let path = |name: &str| dir.path().join(name);
    let publisher = control_plane(dir.path(), 1);
    let (health, web) = (free().await, free().await);
    let _edge = Command::new(env!("CARGO_BIN_EXE_kakehi"))
        .args(["edge", "--name", "test/families", "--pod-ip", "fd00::7", "--health", &format!("[::]:{health}")])
        .arg("--runtime-dir")
        .arg(path("edge"))
        .arg("--snapshot")
        .arg(path("snapshot.sock"))
        .arg("--sozu")
        .arg(program())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let app = serve("app").await;
    let routes = [listener("web", web, "*"), backend("app", &[app]), route("r", "web", &["*"], vec![rule(prefix("/"), "app")])];
    publisher.publish(&Snapshot::from_resources(routes).as_delta());
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let (health, web) = (SocketAddr::new(ip, health), SocketAddr::new(ip, web));
        while TcpStream::connect(health).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        until(web, "any.example", "/", "app").await;
        // It is ready when both Sōzus hold what the first one answers by.
        let ready = async {
            while get(health, "health", "/readyz").await.status != 200 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ready).await.expect("it is ready");
        // Sōzu names clients as its socket does, which is one of both families.
        let client = match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let seen = get(web, "any.example", "/").await.body.to_lowercase();
        assert!(seen.lines().any(|line| line == format!("x-real-ip: {client}")), "{seen}");
    }
}
