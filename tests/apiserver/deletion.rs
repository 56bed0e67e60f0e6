//! What is deleted and made again in one breath.

use kakehi::translate;
use kube::Client;
use serde_json::json;

use crate::pairs::{Way, count};
use crate::rig::{Edges, Running, api, basics, delete, gone, route};
use crate::server::{discard, namespace, shared};

/// Of a held route an apply may change what is about to go, which its answer shows; a client that tries a create again loses none.
/// What is not held is gone with the answer.
#[tokio::test]
async fn a_create_that_is_tried_again_is_never_lost_and_a_lost_apply_was_shown() {
    let client = Client::try_from(shared().await).unwrap();
    for held in [true, false] {
        let space = namespace(&client, "pairs").await;
        let controller = format!("test.kakehi.dev/{space}");
        let translation = translate::Settings { controller_name: controller.clone(), ..translate::Settings::default() };
        let operator = Running::start_with(&client, (translation, held), &space, Edges::new(true));
        basics(&client, &controller, &space).await;
        let routes = api(&client, "HTTPRoute", &space);
        let mut body = route("here", "a.example.com");
        body["apiVersion"] = json!("gateway.networking.k8s.io/v1");
        body["kind"] = json!("HTTPRoute");
        body["metadata"] = json!({"name": "route"});
        let created = count(&routes, &body, Way::Create, 20).await;
        let applied = count(&routes, &body, Way::Apply, 20).await;
        eprintln!("held: {held}: {created:?} {applied:?}");
        assert_eq!(created.lost, 0, "{created:?}");
        assert_eq!(applied.lost, applied.shown, "{applied:?}");
        assert_eq!((created.conflicts > 0, applied.lost > 0), (held, held), "{created:?} {applied:?}");
        for object in [("Gateway", space.as_str(), "web"), ("GatewayClass", "", &space)] {
            delete(&client, object).await;
            gone(&client, object).await;
        }
        operator.stop().await.unwrap();
        discard(&client, &space).await;
    }
}
