//! Admission that never answers: what it holds up is tried again, later each time, and nothing else waits for it.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use crate::rig::{Edges, Running, apply, basics, eventually, once, programmed, route};
use crate::server::{discard, is_foreign, namespace, shared};

/// Objects that are held up: more than are retried at the same time.
const HELD: usize = 20;
/// How long the API server waits for the webhook. Longer than anything else may take.
const PATIENCE: u8 = 30;
/// By this label the webhook knows them.
const LABEL: &str = "kakehi.test/held";

/// A webhook that takes connections and says nothing. It is asked for one resource of a namespace. It goes with the runtime.
async fn webhook(client: &Client, space: &str, (group, resource, operation): (&str, &str, &str)) -> Api<ValidatingWebhookConfiguration> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut asked = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            asked.push(connection);
        }
    });
    let configuration = serde_json::from_value(json!({
        "metadata": {"name": space},
        "webhooks": [{
            "name": "silent.kakehi.test", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            "clientConfig": {"url": format!("https://127.0.0.1:{port}/")}, "timeoutSeconds": PATIENCE,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}}, "objectSelector": {"matchLabels": {LABEL: "yes"}},
            "rules": [
                {"apiGroups": [group], "apiVersions": ["*"], "operations": [operation], "resources": [resource]},
                {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["secrets"]},
            ],
        }],
    }));
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    api.create(&PostParams::default(), &configuration.unwrap()).await.unwrap();
    // The API server learns of it by a watch of its own.
    let secret = serde_json::from_value(labelled(json!({}))).unwrap();
    let (secrets, dry) = (Api::<Secret>::namespaced(client.clone(), space), PostParams { dry_run: true, ..PostParams::default() });
    while timeout(Duration::from_secs(2), secrets.create(&dry, &secret)).await.is_ok() {}
    api
}

fn labelled(mut object: Value) -> Value {
    object["metadata"] = json!({"name": "held", "labels": {LABEL: "yes"}});
    object
}

/// Writes of a kind that failed: the API server gives up after 10 s without a TLS handshake, we after 15 s.
fn failures(operator: &Running, kind: &str) -> u64 {
    ["server", "timeout"].map(|variant| operator.metrics.reconcile_errors.with_label_values(&[kind, variant]).get()).iter().sum()
}

/// Within this time something is done that waits for nobody: less than an unanswered write takes.
async fn soon<T>(what: &str, done: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let done = done.await;
    eprintln!("{what}: after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(9), "{what}: only after {:?}", started.elapsed());
    done
}

pub async fn statuses_that_admission_holds_up_hold_up_no_others() {
    if is_foreign() {
        eprintln!("skipped: the cluster that is given cannot ask a webhook of this machine");
        return;
    }
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "webhook-status").await;
    let controller = format!("test.kakehi.dev/{space}");
    let operator = Running::start(&client, &controller, &space, Edges::new(true));
    basics(&client, &controller, &space).await;
    let webhooks = webhook(&client, &space, ("gateway.networking.k8s.io", "httproutes/status", "UPDATE")).await;
    for index in 0..HELD {
        apply(&client, "HTTPRoute", &space, &format!("held-{index}"), labelled(route("here", &format!("{index}.example.com")))).await;
    }
    apply(&client, "HTTPRoute", &space, "free", route("here", "free.example.com")).await;
    soon("written while others are held up", once(&client, ("HTTPRoute", &space, "free"), programmed)).await;
    let failed = || failures(&operator, "HTTPRoute");
    eventually("all have failed once", async || (failed() >= HELD as u64).then_some(())).await;
    apply(&client, "HTTPRoute", &space, "later", route("here", "later.example.com")).await;
    soon("written while others are tried again", once(&client, ("HTTPRoute", &space, "later"), programmed)).await;
    assert!(failed() < 2 * HELD as u64, "tried again {} times", failed());
    webhooks.delete(&space, &DeleteParams::default()).await.unwrap();
    for index in 0..HELD {
        once(&client, ("HTTPRoute", &space, &format!("held-{index}")), programmed).await;
    }
    operator.stop().await.unwrap();
    discard(&client, &space).await;
}

pub async fn edges_that_admission_holds_up_hold_up_no_others() {
    if is_foreign() {
        eprintln!("skipped: the cluster that is given cannot ask a webhook of this machine");
        return;
    }
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "webhook-create").await;
    let controller = format!("test.kakehi.dev/{space}");
    let operator = Running::start_making(&client, &controller, &space);
    apply(&client, "GatewayClass", "", &space, json!({"spec": {"controllerName": controller}})).await;
    let webhooks = webhook(&client, &space, ("apps", "deployments", "CREATE")).await;
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let gateway =
        |infrastructure: Value| json!({"spec": {"gatewayClassName": space, "listeners": listeners, "infrastructure": infrastructure}});
    for index in 0..HELD {
        apply(&client, "Gateway", &space, &format!("held-{index}"), gateway(json!({"labels": {LABEL: "yes"}}))).await;
    }
    apply(&client, "Gateway", &space, "free", gateway(json!({}))).await;
    soon("made while others are held up", once(&client, ("Deployment", &space, "kakehi-free"), |_| true)).await;
    let failed = || failures(&operator, "Deployment");
    eventually("all have failed once", async || (failed() >= HELD as u64).then_some(())).await;
    apply(&client, "Gateway", &space, "later", gateway(json!({}))).await;
    soon("made while others are tried again", once(&client, ("Deployment", &space, "kakehi-later"), |_| true)).await;
    assert!(failed() < 2 * HELD as u64, "tried again {} times", failed());
    webhooks.delete(&space, &DeleteParams::default()).await.unwrap();
    for index in 0..HELD {
        once(&client, ("Deployment", &space, &format!("kakehi-held-{index}")), |_| true).await;
    }
    operator.stop().await.unwrap();
    discard(&client, &space).await;
}
