//! Deletes routes of a cluster and makes each again in one breath, in all ways that tools have, and prints what became of them.
//! The cluster is the one of `KUBECONFIG`; Gateway `web` and Service `app` with port 80 are in the namespace.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "it is a test's program")]

#[path = "../tests/apiserver/pairs.rs"]
mod pairs;

use clap::Parser;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use serde_json::json;

use self::pairs::{Counted, Way, count};

/// Routes that are deleted and made again.
#[derive(Parser)]
struct Arguments {
    /// Where the Gateway is
    #[arg(long)]
    namespace: String,
    /// Pairs of each way
    #[arg(long, default_value_t = 1000)]
    pairs: usize,
    /// Routes that are made so at a time
    #[arg(long, default_value_t = 2)]
    routes: usize,
}

#[tokio::main]
async fn main() {
    let Arguments { namespace, pairs, routes } = Arguments::parse();
    let client = Client::try_default().await.unwrap();
    let resource = ApiResource {
        group: "gateway.networking.k8s.io".into(),
        version: "v1".into(),
        api_version: "gateway.networking.k8s.io/v1".into(),
        kind: "HTTPRoute".into(),
        plural: "httproutes".into(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &resource);
    for way in [Way::Create, Way::Apply] {
        let each = (0..routes).map(|index| {
            let (api, name) = (api.clone(), format!("recreate-{index}"));
            let spec = json!({
                "parentRefs": [{"name": "web"}], "hostnames": [format!("{name}.example")],
                "rules": [{"backendRefs": [{"name": "app", "port": 80}]}],
            });
            let kind = json!({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec});
            async move { count(&api, &kind, way, pairs / routes).await }
        });
        let (mut all, mut waits) = (Counted::default(), Vec::new());
        for one in futures::future::join_all(each).await {
            all.lost += one.lost;
            all.shown += one.shown;
            all.conflicts += one.conflicts;
            waits.extend(one.waits);
        }
        waits.sort_unstable();
        let percentile = |hundredths: usize| waits[(waits.len() * hundredths / 100).min(waits.len() - 1)];
        println!(
            "{way:?}: {} pairs, {} lost, {} shown, {} conflicts; gone after p50 {:?}, p99 {:?}, at most {:?}",
            waits.len(),
            all.lost,
            all.shown,
            all.conflicts,
            percentile(50),
            percentile(99),
            percentile(100),
        );
    }
    for index in 0..routes {
        drop(api.delete(&format!("recreate-{index}"), &Default::default()).await);
    }
}
