//! What Prometheus sees of an operator.

use kakehi::series::OPERATOR;
use kube::Client;
use tokio::runtime::Handle;

use crate::prometheus::{Prometheus, dashboard, of_operator, presence};
use crate::rig::{Edges, Running, apply, basics, route};
use crate::server::{discard, namespace, shared};

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_finds_every_series_of_the_operator() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "metrics").await;
    let controller = format!("test.kakehi.dev/{space}");
    let operator = Running::start(&client, &controller, &space, Edges::new(true));
    basics(&client, &controller, &space).await;
    let Some(prometheus) = Prometheus::start(&[operator.admin().await]) else { return };
    let queries = [presence(OPERATOR), dashboard(of_operator)].concat();
    let (handle, changing, changed) = (Handle::current(), client.clone(), space.clone());
    let asked = tokio::task::spawn_blocking(move || {
        let mut round = 0;
        prometheus.answers(&queries, || {
            round += 1;
            let route = route("here", &format!("r{round}.example.com"));
            handle.block_on(apply(&changing, "HTTPRoute", &changed, "busy", route));
        });
    });
    asked.await.unwrap();
    discard(&client, &space).await;
}
