//! A peer that is gone without a word: connections stay open and nothing comes.

use std::time::Duration;

use kakehi::leader::{Candidate, Settings};
use kakehi::model::Kind;
use kakehi::store::Event;
use kakehi::store::cluster::{Cluster, State, watching};
use kube::Client;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::rig::{PATIENCE, apply};
use crate::server::{discard, namespace, shared};
use crate::wire::Wire;

/// How long nothing may be heard, here.
const SILENCE: Duration = Duration::from_secs(6);

pub async fn a_watch_that_has_fallen_silent_is_begun_anew() {
    let mut config = shared().await;
    let client = Client::try_from(config.clone()).unwrap();
    let space = namespace(&client, "silence").await;
    config.read_timeout = Some(SILENCE);
    let (listening, wire) = Wire::new(config).await;
    let cluster = Cluster::watched(listening, watching().timeout(2));
    let states = cluster.states();
    let (events, mut received) = mpsc::channel(1024);
    tokio::spawn(cluster.watch(events));
    let mut next = async || timeout(PATIENCE, received.recv()).await.expect("an event").expect("it watches");
    while !matches!(next().await, Event::Synced) {}
    // Watches of kinds of which there is no news are not taken for dead.
    let quiet = async {
        loop {
            next().await;
        }
    };
    drop(timeout(SILENCE + Duration::from_secs(2), quiet).await);
    let errors = || states.borrow().values().map(|watched| watched.errors.values().sum::<u64>()).sum::<u64>();
    assert_eq!(errors(), 0, "{:?}", states.borrow());

    wire.hush();
    let since = Instant::now();
    apply(&client, "ConfigMap", &space, "late", json!({})).await;
    let tells = |event: &Event| {
        let Event::Changes(changes) = event else { return false };
        changes.iter().any(|change| change.id.kind == Kind::ConfigMap && change.id.namespace == space)
    };
    while !tells(&next().await) {}
    eprintln!("told after {:?}", since.elapsed());
    assert!(since.elapsed() < SILENCE * 3, "{:?}", since.elapsed());
    assert!(states.borrow().values().all(|watched| matches!(watched.state, State::Synced)), "{:?}", states.borrow());
    discard(&client, &space).await;
}

pub async fn a_leader_whose_connections_fall_silent_leads_on() {
    let config = shared().await;
    let client = Client::try_from(config.clone()).unwrap();
    let space = namespace(&client, "silent-leader").await;
    let (speaking, wire) = Wire::new(config).await;
    let settings = Settings::new(&space, "kakehi", "speaker");
    let believe = settings.believe;
    let (candidate, mut leadership) = Candidate::new(speaking, settings);
    let leading = tokio::spawn(candidate.run(std::future::pending()));
    let epoch = timeout(PATIENCE, leadership.elected()).await.expect("elected").unwrap();
    for _ in 0..2 {
        wire.hush();
        sleep(believe).await;
        assert!(leadership.epoch() == Some(epoch) && !leading.is_finished());
    }
    leading.abort();
    discard(&client, &space).await;
}
