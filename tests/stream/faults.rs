//! What must hold while connections and servers come and go.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kakehi::snapshot::Delta;
use kakehi::snapshot::serve::{Limits, Publishers};
use kakehi::snapshot::wire::Stamp;
use tokio::time::{sleep, timeout};

use crate::rig::{Authority, LONG, Rig, acked, edge, key, set, until};

#[tokio::test]
async fn several_nodes_follow_and_the_edge_has_acknowledged_what_all_have() {
    let rig = Rig::start().await;
    let publisher = rig.offer("web", 3);
    let first = publisher.publish(&set([(1, 1), (2, 1)]));
    let (mut a, mut b) = (rig.client("web", "a").await, rig.client("web", "b").await);
    a.reach(first).await;
    b.reach(first).await;
    acked(&publisher, first).await;
    let second = publisher.publish(&set([(3, 1)]));
    a.reach(second).await;
    until("both are seated", || publisher.nodes().get("a").is_some_and(|ack| ack.as_ref().is_some_and(|ack| ack.stamp == second))).await;
    assert_eq!(publisher.acks().borrow().as_ref().unwrap().stamp, first, "b is behind");
    b.disconnect();
    acked(&publisher, second).await;
    assert_eq!(a.held.snapshot(), &publisher.current().1);
    assert_eq!((a.fulls, a.received), (1, 3));
}

#[tokio::test]
async fn a_node_that_comes_back_gets_the_difference_only() {
    let rig = Rig::start().await;
    let publisher = rig.offer("web", 1);
    let mut stamp = publisher.publish(&set((1..500).map(|port| (port, 1))));
    let mut client = rig.client("web", "a").await;
    client.reach(stamp).await;
    client.disconnect();
    for version in 2..5 {
        stamp = publisher.publish(&set([(7, version)]));
    }
    publisher.publish(&Delta { set: Vec::new(), remove: vec![key(9)] });
    client.reconnect().await;
    client.reach(Stamp { seq: stamp.seq + 1, ..stamp }).await;
    assert_eq!((client.fulls, client.received), (1, 499 + 2));

    // So long away that nobody remembers: everything anew.
    client.disconnect();
    for version in 1..200 {
        stamp = publisher.publish(&set([(8, version)]));
    }
    client.reconnect().await;
    client.reach(stamp).await;
    assert_eq!(client.fulls, 2);
    assert_eq!(client.held.snapshot(), &publisher.current().1);
}

#[tokio::test]
async fn a_new_connection_of_a_node_takes_the_place_of_the_old() {
    let rig = Rig::start().await;
    let publisher = rig.offer("web", 1);
    let stamp = publisher.publish(&set([(1, 1)]));
    let mut old = rig.client("web", "a").await;
    old.reach(stamp).await;
    let mut new = rig.client("web", "a").await;
    new.reach(stamp).await;
    assert!(!old.take().await, "the old connection ends");
    acked(&publisher, stamp).await;
    assert_eq!(publisher.nodes().len(), 1);
}

#[tokio::test]
async fn many_reconnects_while_publishing() {
    let rig = Rig::start().await;
    let publisher = rig.offer("web", 1);
    publisher.publish(&set((1..100).map(|port| (port, 1))));
    let feeding = {
        let publisher = publisher.clone();
        tokio::spawn(async move {
            for round in 0..400_u16 {
                publisher.publish(&set([(round % 120 + 1, round + 2)]));
                publisher.publish(&Delta { set: Vec::new(), remove: vec![key(round % 77 + 1)] });
                sleep(Duration::from_millis(2)).await;
            }
        })
    };
    let mut clients = Vec::new();
    for node in 0..6 {
        clients.push(rig.client("web", &format!("node-{node}")).await);
    }
    while !feeding.is_finished() {
        for client in &mut clients {
            client.reconnect().await;
            assert!(client.take().await);
        }
    }
    let (last, snapshot) = publisher.current();
    for client in &mut clients {
        client.reach(last).await;
        assert_eq!(client.held.snapshot(), &snapshot);
        assert_eq!(client.fulls, 1, "each came back in time for differences");
    }
    acked(&publisher, last).await;
}

#[tokio::test]
async fn a_server_killed_in_the_middle_and_a_leader_of_a_later_epoch_with_the_same_content() {
    let mut rig = Rig::start().await;
    let publisher = rig.offer("web", 1);
    let stamp = publisher.publish(&set((1..2000).map(|port| (port, 1))));
    let mut client = rig.client("web", "a").await;
    client.reach(stamp).await;
    publisher.publish(&set((1..2000).map(|port| (port, 2))));
    rig.kill().await;
    while client.take().await {}

    // Another replica, which has translated the same objects and one more.
    let next = Publishers::default();
    let successor = kakehi::snapshot::publish::Publisher::new(2);
    successor.publish(&client.held.snapshot().as_delta());
    let stamp = successor.publish(&set([(1, 9)]));
    next.insert(edge("web"), successor.clone());
    rig.restart(next).await;
    let before = client.received;
    client.reconnect().await;
    client.reach(stamp).await;
    assert_eq!(client.received - before, 1, "what is held has the same hash there: only the difference came");
    assert_eq!(client.held.snapshot(), &successor.current().1);
    acked(&successor, stamp).await;
}

#[tokio::test]
async fn nothing_published_yet_withdraws_nothing() {
    let rig = Rig::start().await;
    let publisher = rig.offer("web", 1);
    let mut client = rig.client("web", "a").await;
    assert!(timeout(Duration::from_millis(200), client.take()).await.is_err(), "no update before the first publication");
    client.reconnect().await;
    let stamp = publisher.publish(&set([(1, 1)]));
    client.reach(stamp).await;
    assert_eq!(client.held.snapshot().len(), 1);
}

#[tokio::test]
async fn an_edge_that_is_served_no_more_is_disconnected_and_told() {
    let rig = Rig::start().await;
    let publisher = rig.offer("web", 1);
    let stamp = publisher.publish(&set([(1, 1)]));
    let mut client = rig.client("web", "a").await;
    client.reach(stamp).await;
    rig.publishers.remove(&edge("web"));
    assert!(!client.take().await);
    client.reconnect().await;
    assert!(!client.take().await);
    assert_eq!(rig.counters.refused.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_admission_ends_and_is_renewed_by_coming_again() {
    let rig = Rig::start_with(Limits::default(), Duration::from_millis(300)).await;
    let publisher = rig.offer("web", 1);
    let stamp = publisher.publish(&set([(1, 1)]));
    let mut client = rig.client("web", "a").await;
    client.reach(stamp).await;
    assert!(!client.take().await, "the token is not valid for ever");
    client.reconnect().await;
    assert!(client.take().await);
    assert_eq!((client.fulls, client.received), (1, 1), "nothing had to come again");
}

#[tokio::test]
async fn the_authority_and_the_token_change_without_a_restart() {
    let rig = Rig::start().await;
    let publisher = rig.offer("web", 1);
    let stamp = publisher.publish(&set([(1, 1)]));
    let remote = rig.remote("web", "web:a");
    let mut client = crate::rig::Client::new(remote).await;
    client.reach(stamp).await;

    let (old, new) = (&rig.authority.pem, Authority::new());
    let ca = rig.dir.path().join("ca.pem");
    std::fs::write(&ca, format!("{old}{}", new.pem)).unwrap();
    client.reconnect().await;
    assert!(client.take().await, "the old certificate while both are trusted");
    let (chain, key) = new.certificate();
    rig.identity.replace(&chain, &key).unwrap();
    client.reconnect().await;
    assert!(client.take().await, "the new certificate while both are trusted");
    std::fs::write(&ca, &new.pem).unwrap();
    std::fs::write(rig.token("web:a"), "web:b\n").unwrap();
    client.reconnect().await;
    assert!(client.take().await);
    until("the new token is shown", || publisher.nodes().contains_key("b")).await;
    assert_eq!(client.fulls, 1);
}

/// A client that does not read holds nothing up but itself.
#[tokio::test]
async fn a_node_that_does_not_read_delays_nobody() {
    let rig = Rig::start().await;
    let publisher = rig.offer("web", 1);
    let stamp = publisher.publish(&set([(1, 1)]));
    let _deaf = rig.remote("web", "web:deaf").connect(None).await.unwrap();
    let mut client = rig.client("web", "a").await;
    client.reach(stamp).await;
    until("both are connected", || publisher.nodes().len() == 2).await;
    let mut last = stamp;
    let started = tokio::time::Instant::now();
    for version in 2..30 {
        last = publisher.publish(&set((1..3000).map(|port| (port, version))));
        client.reach(last).await;
    }
    assert_eq!(client.stamp, Some(last));
    assert!(started.elapsed() < LONG);
}
