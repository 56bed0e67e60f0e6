//! An object whose Service has no endpoint is looked at again, later each time, and from the beginning when it has changed.

use std::time::Duration;

use kube::Client;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::rig::{Edges, PATIENCE, Running, apply, basics, once, programmed, route};
use crate::server::{Server, define, definitions, is_foreign, namespace};

/// The turns of routes in a server where there is only one.
struct Turns<'a>(&'a Running, u64);

impl Turns<'_> {
    /// Waits until there are none for a while, so that what an edit caused is over.
    async fn settle(&mut self) {
        while self.next(Duration::from_secs(1)).await.is_some() {}
    }

    /// How long it takes until the next one, if no longer than this.
    async fn next(&mut self, limit: Duration) -> Option<Duration> {
        let (turns, since) = (self.0.metrics.reconciles.with_label_values(&["HTTPRoute", "ok"]), Instant::now());
        let more = async {
            while turns.get() == self.1 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(limit, more).await.ok()?;
        self.1 = turns.get();
        Some(since.elapsed())
    }
}

pub async fn missing_endpoints_are_looked_for_later_each_time() {
    if is_foreign() {
        eprintln!("skipped: turns of other routes would be counted too");
        return;
    }
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let client = Client::try_from(server.config().await).unwrap();
    define(&client, &definitions()).await;
    let space = namespace(&client, "endpoints").await;
    let controller = format!("test.kakehi.dev/{space}");
    let operator = Running::start(&client, &controller, &space, Edges::new(true));
    basics(&client, &controller, &space).await;
    apply(&client, "Service", &space, "empty", json!({"spec": {"ports": [{"name": "http", "port": 80}]}})).await;
    for (hostname, expected) in [("a.example.com", &[4.0, 8.0][..]), ("b.example.com", &[4.0])] {
        apply(&client, "HTTPRoute", &space, "route", route("empty", hostname)).await;
        once(&client, ("HTTPRoute", &space, "route"), programmed).await;
        let (mut turns, mut waits) = (Turns(&operator, 0), Vec::new());
        // Up to 2 s after it was judged, what the edit itself caused wakes the route too.
        while waits.len() < expected.len() {
            let wait = turns.next(PATIENCE).await.expect("another turn").as_secs_f64();
            waits.extend(Some(wait).filter(|wait| *wait > 3.0));
        }
        eprintln!("{hostname}: {waits:.1?}");
        // Late is what a busy machine may be.
        let fits = |(wait, expected): (&f64, &f64)| (expected - 0.1..expected * 1.8).contains(wait);
        assert!(waits.iter().zip(expected).all(fits), "{hostname}: {waits:?}");
    }
    let slice = json!({
        "metadata": {"labels": {"kubernetes.io/service-name": "empty"}},
        "addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"]}], "ports": [{"name": "http", "port": 8080}],
    });
    apply(&client, "EndpointSlice", &space, "empty", slice).await;
    let mut turns = Turns(&operator, 0);
    turns.settle().await;
    // The one that was planned already finds nothing to do, and plans none.
    let planned = turns.next(Duration::from_secs(9)).await;
    assert!(turns.next(Duration::from_secs(5)).await.is_none(), "after {planned:?}");
    operator.stop().await.unwrap();
    // Its end takes seconds, which other stories of this thread would miss.
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}
