//! How an API server is asked for everything at the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use http::{Request, Response};
use kakehi::store::Event;
use kakehi::store::cluster::Cluster;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Lists on their way: now, at most, and how many there were.
#[derive(Default)]
struct Lists {
    now: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

/// An empty API server that takes its time to list, and has nothing to say to watches.
async fn answer(request: Request<Body>, lists: Arc<Lists>) -> Result<Response<Body>, kube::Error> {
    let query = request.uri().query().unwrap_or_default();
    if query.contains("watch=true") {
        std::future::pending::<()>().await;
    }
    // Whole kinds are listed by the page; what is left asks which kinds there are.
    if !query.contains("limit=") {
        return Ok(json(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [], "metadata": {}, "items": []})));
    }
    lists.all.fetch_add(1, Relaxed);
    let now = lists.now.fetch_add(1, Relaxed) + 1;
    lists.most.fetch_max(now, Relaxed);
    sleep(Duration::from_millis(100)).await;
    lists.now.fetch_sub(1, Relaxed);
    Ok(json(json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []})))
}

fn json(body: Value) -> Response<Body> {
    Response::new(Body::from(body.to_string().into_bytes()))
}

#[tokio::test(start_paused = true)]
async fn four_kinds_are_listed_at_a_time() {
    let lists = Arc::new(Lists::default());
    let counted = lists.clone();
    let client = Client::new(tower::service_fn(move |request| answer(request, counted.clone())), "default");
    let (sender, mut events) = mpsc::channel(64);
    tokio::spawn(Cluster::new(client).watch(sender));
    while !matches!(events.recv().await.expect("an event"), Event::Synced) {}
    assert_eq!(lists.most.load(Relaxed), 4);
    assert!(lists.all.load(Relaxed) >= 7, "{} kinds", lists.all.load(Relaxed));
}
