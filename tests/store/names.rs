//! Names of ExternalName Services: asked for when their records expire, kept for a while when they fail.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use kakehi::model::Resolution;
use kakehi::store::names::{Limits, Names};

use super::dns::Server;

const QUICK: Limits = Limits {
    life: (Duration::from_millis(40), Duration::from_millis(150)),
    retry: (Duration::from_millis(20), Duration::from_millis(40)),
    keep: Duration::from_millis(400),
};

fn wanted(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// What is known next.
async fn next(names: &mut Names) -> Resolution {
    tokio::time::timeout(Duration::from_secs(20), names.changed()).await.expect("something changes").1
}

#[tokio::test]
async fn a_name_is_asked_for_again_when_its_records_expire() {
    let server = Server::start();
    server.says("db.test", &["10.0.0.2", "10.0.0.1", "2001:db8::1"], 3600);
    let mut names = Names::new(&[server.address], QUICK);
    names.want(&wanted(&["db.test"]));
    assert!(!names.is_settled());
    let known = next(&mut names).await;
    assert_eq!(known, Resolution { addresses: addresses(&["10.0.0.1", "10.0.0.2", "2001:db8::1"]), failure: None });
    assert!(names.is_settled());
    // However long the records live, the ceiling counts.
    server.says("db.test", &["10.0.0.3"], 0);
    assert_eq!(next(&mut names).await.addresses, addresses(&["10.0.0.3"]));
    // However short they live, the floor counts.
    let before = server.asked();
    assert!(tokio::time::timeout(Duration::from_millis(400), names.changed()).await.is_err(), "the same answer is no news");
    let asked = server.asked() - before;
    assert!((1..=11).contains(&asked), "asked {asked} times");
    // Nobody wants it any more.
    names.want(&BTreeSet::new());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = server.asked();
    server.says("db.test", &["10.0.0.4"], 0);
    assert!(tokio::time::timeout(Duration::from_millis(300), names.changed()).await.is_err());
    assert_eq!(server.asked(), before);
}

#[tokio::test]
async fn the_last_addresses_are_kept_for_a_while_when_a_name_fails() {
    let server = Server::start();
    server.says("db.test", &["10.0.0.1"], 0);
    let mut names = Names::new(&[server.address], QUICK);
    names.want(&wanted(&["db.test"]));
    assert_eq!(next(&mut names).await.addresses, addresses(&["10.0.0.1"]));
    server.fails("db.test");
    let failing = next(&mut names).await;
    assert_eq!(failing.addresses, addresses(&["10.0.0.1"]));
    assert!(failing.failure.is_some());
    let given_up = next(&mut names).await;
    assert_eq!((given_up.addresses.len(), given_up.failure.is_some()), (0, true));
    server.says("db.test", &["10.0.0.2"], 0);
    assert_eq!(next(&mut names).await, Resolution { addresses: addresses(&["10.0.0.2"]), failure: None });
}

/// They are nobody's any more, and may be another's soon.
#[tokio::test]
async fn the_last_addresses_go_at_once_when_dns_says_that_there_are_none() {
    let server = Server::start();
    let patient = Limits { keep: Duration::from_secs(600), ..QUICK };
    for gone in [Server::forgets, Server::empties] {
        server.says("db.test", &["10.0.0.1"], 0);
        let mut names = Names::new(&[server.address], patient);
        names.want(&wanted(&["db.test"]));
        assert_eq!(next(&mut names).await.addresses, addresses(&["10.0.0.1"]));
        gone(&server, "db.test");
        let known = next(&mut names).await;
        assert_eq!((known.addresses.len(), known.failure.is_some()), (0, true), "{known:?}");
    }
}

#[tokio::test]
async fn an_answer_without_addresses_is_a_failure() {
    let server = Server::start();
    server.says("empty.test", &[], 60);
    let mut names = Names::new(&[server.address], QUICK);
    for (name, failure) in [("nowhere.test", "there is no such name"), ("empty.test", "it has no addresses")] {
        names.want(&wanted(&[name]));
        assert_eq!(next(&mut names).await, Resolution { addresses: BTreeSet::new(), failure: Some(failure.to_owned()) }, "{name}");
        assert!(names.is_settled());
    }
}

#[tokio::test]
async fn what_looks_like_an_address_is_a_name() {
    let server = Server::start();
    server.says("10.0.0.1", &["192.0.2.9"], 60);
    let mut names = Names::new(&[server.address], QUICK);
    names.want(&wanted(&["10.0.0.1"]));
    assert_eq!(next(&mut names).await.addresses, addresses(&["192.0.2.9"]));
}
