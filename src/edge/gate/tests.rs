use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use proptest::prelude::*;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Duration, sleep, timeout};

use super::{Guarded, Refusals, census, door::Door, keep, program, too_many};
use crate::model::ClientNetwork;

const ATTACKER: &str = "127.8.8.8";
const OTHER: &str = "127.0.0.1";
const WITHIN: Duration = Duration::from_secs(10);

/// A socket on a port that it shares, as Sōzu's workers do, and how many connections came to it. It keeps them as long as the client does.
fn worker(address: SocketAddr) -> (SocketAddr, Arc<AtomicU64>, tokio::task::JoinHandle<()>) {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    let listener: TcpListener = socket.listen(1024).unwrap();
    let (bound, count) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let counted = count.clone();
    let task = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Relaxed);
            open.spawn(async move { stream.read(&mut [0; 1]).await });
        }
    });
    (bound, count, task)
}

/// A connection that is still open after a moment.
async fn connect(from: &str, to: SocketAddr) -> Option<TcpStream> {
    let from: IpAddr = from.parse().unwrap();
    let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    let mut stream = timeout(WITHIN, socket.connect(to)).await.ok()?.ok()?;
    match timeout(Duration::from_millis(100), stream.read(&mut [0; 1])).await {
        Err(_) => Some(stream),
        Ok(_) => None,
    }
}

#[tokio::test]
async fn an_address_with_too_many_connections_gets_no_more_and_others_do() {
    let (port, first, _one) = worker("127.0.0.1:0".parse().unwrap());
    let (_, second, _two) = worker(port);
    let (guarded, refusals) = (watch::Sender::new(Guarded { ports: vec![port], most: 40 }), Arc::new(Refusals::default()));
    let keeping = tokio::spawn(keep(guarded.subscribe(), refusals.clone()));
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(connect(ATTACKER, port).await.expect("it may have so many"));
    }
    timeout(WITHIN, async {
        while refusals.addresses.load(Relaxed) == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    for _ in 0..20 {
        assert!(connect(ATTACKER, port).await.is_none());
        assert!(connect(OTHER, port).await.is_some(), "others are served");
    }
    assert!(first.load(Relaxed) > 10 && second.load(Relaxed) > 10, "the kernel still spreads connections");
    assert!(refusals.connections.load(Relaxed) >= 20);

    // Sōzu's worker is replaced: the kernel's order of sockets is another one.
    let (_, third, three) = worker(port);
    timeout(WITHIN, async {
        while third.load(Relaxed) == 0 {
            connect(OTHER, port).await;
        }
    })
    .await
    .unwrap();
    three.abort();
    sleep(Duration::from_millis(1500)).await;
    assert!(connect(ATTACKER, port).await.is_none());
    assert!(connect(OTHER, port).await.is_some());

    held.truncate(20);
    timeout(2 * WITHIN, async { while connect(ATTACKER, port).await.is_none() {} }).await.expect("it has few again");
    assert_eq!(refusals.addresses.load(Relaxed), 0);
    keeping.abort();
}

#[tokio::test]
async fn networks_of_both_families_are_told_apart_on_one_port() {
    let Ok(probe) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else { return };
    drop(probe);
    let (port, count, _task) = worker("[::]:0".parse().unwrap());
    let (four, six) = (SocketAddr::new(OTHER.parse().unwrap(), port.port()), SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port.port()));
    let refused = [ClientNetwork::from(IpAddr::from(Ipv4Addr::new(127, 8, 8, 8)))];
    let others = census::listening(&[port]).unwrap().remove(&port).unwrap();
    assert_eq!(others.len(), 1);
    let door = Door::open(port, &refused, others.clone(), &Arc::default()).unwrap();
    assert!(connect(ATTACKER, four).await.is_none());
    assert!(connect(OTHER, four).await.is_some() && connect("::1", six).await.is_some());
    door.remove().await;
    // All of them are loopback's network, `::/64`, and the loopback of IPv4 is not.
    let _door = Door::open(port, &[ClientNetwork::from(IpAddr::from(Ipv6Addr::LOCALHOST))], others, &Arc::default()).unwrap();
    assert!(connect("::1", six).await.is_none());
    assert!(connect(ATTACKER, four).await.is_some());
    assert_eq!(count.load(Relaxed), 3);
    assert_eq!(census::listening(&[port]).unwrap()[&port].len(), 2);
}

#[test]
fn the_largest_program_is_taken() {
    let every = |v6: u64| (0..2 * program::MOST as u64).map(|at| ClientNetwork::V6(at * v6)).collect::<Vec<_>>();
    assert!(program::program(&every(1 << 20), 4).len() < 4096);
}

proptest! {
    #[test]
    fn a_client_with_fewer_connections_than_are_allowed_that_was_not_refused_is_let_in(
        clients in prop::collection::hash_map(0..20_u32, 1..50_u32, 0..20),
        refused in prop::collection::vec(0..20_u32, 0..5),
        most in 1..60_u32,
    ) {
        let clients: HashMap<_, _> = clients.into_iter().map(|(at, number)| (ClientNetwork::V4(at), number)).collect();
        let before: Vec<_> = refused.into_iter().map(ClientNetwork::V4).collect();
        let (refused, largest) = too_many(&clients, &before, most);
        for (network, number) in &clients {
            let is_refused = refused.contains(network);
            prop_assert!(is_refused || *number < most);
            prop_assert!(!is_refused || *number >= most || (before.contains(network) && *number >= most - most / 8));
            prop_assert!(is_refused || *number <= largest);
        }
    }
}
