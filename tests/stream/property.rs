//! Whatever the interleaving of publications, disconnects, restarts and resumes: a client that has reached the publisher's
//! stamp holds the publisher's snapshot.

use std::time::Duration;

use kakehi::snapshot::Delta;
use kakehi::snapshot::publish::Publisher;
use kakehi::snapshot::serve::Publishers;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::time::{sleep, timeout};

use crate::rig::{Client, Rig, acked, edge, key, set};

#[derive(Clone, Debug)]
enum Step {
    Publish {
        set: Vec<(u16, u16)>,
        remove: Vec<u16>,
    },
    Disconnect(usize),
    Reconnect(usize),
    /// Takes what comes within a moment.
    Take(usize, u8),
    /// A new server of the next epoch with what the former one had.
    TakeOver,
    Pause,
}

const CLIENTS: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let set = proptest::collection::vec((1..20_u16, 1..4_u16), 0..6);
    let remove = proptest::collection::vec(1..20_u16, 0..3);
    prop_oneof![
        8 => (set, remove).prop_map(|(set, remove)| Step::Publish { set, remove }),
        2 => (0..CLIENTS).prop_map(Step::Disconnect),
        4 => (0..CLIENTS).prop_map(Step::Reconnect),
        6 => (0..CLIENTS, 1..4_u8).prop_map(|(client, count)| Step::Take(client, count)),
        1 => Just(Step::TakeOver),
        1 => Just(Step::Pause),
    ]
}

#[test]
fn a_client_that_is_up_to_date_holds_what_the_publisher_holds() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let steps = proptest::collection::vec(step(), 1..60);
    runner.run(&steps, |steps| runtime.block_on(play(steps))).unwrap();
}

async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut rig = Rig::start().await;
    let mut publisher = rig.offer("web", 1);
    let mut epoch = 1;
    publisher.publish(&set([(1, 1)]));
    let mut clients: Vec<Client> = Vec::new();
    for node in 0..CLIENTS {
        clients.push(rig.client("web", &node.to_string()).await);
    }
    for step in steps {
        match step {
            Step::Publish { set: new, remove } => {
                publisher.publish(&Delta { remove: remove.into_iter().map(key).collect(), ..set(new) });
            }
            Step::Disconnect(client) => clients[client].disconnect(),
            Step::Reconnect(client) => clients[client].reconnect().await,
            Step::Take(client, count) => {
                for _ in 0..count {
                    if !clients[client].connected() {
                        clients[client].reconnect().await;
                    }
                    // A client may be interrupted at any moment of it.
                    if let Ok(false) = timeout(Duration::from_millis(5), clients[client].take()).await {
                        clients[client].disconnect();
                    }
                }
            }
            Step::TakeOver => {
                epoch += 1;
                let successor = Publisher::new(epoch);
                successor.publish(&publisher.current().1.as_delta());
                let publishers = Publishers::default();
                publishers.insert(edge("web"), successor.clone());
                rig.restart(publishers).await;
                publisher = successor;
            }
            Step::Pause => sleep(Duration::from_millis(3)).await,
        }
    }
    let (stamp, snapshot) = publisher.current();
    for client in &mut clients {
        client.reconnect().await;
        // The first update of a connection says what there is, be it nothing new.
        prop_assert!(client.take().await);
        client.reach(stamp).await;
        prop_assert_eq!(client.held.snapshot(), &snapshot);
        prop_assert_eq!(client.held.hash(), snapshot.hash());
    }
    acked(&publisher, stamp).await;
    Ok(())
}
