//! An operator that has fewer rights: edges in its own namespace, chosen namespaces, and what admission lets its token do.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding};
use kakehi::cli::rules::{cluster_rules, edge_rules, namespace_rules, rules};
use kakehi::model::EdgeId;
use kakehi::provision::{EdgeSpec, Installation, Part, Place, objects};
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::rig::{Mode, Running, api, apply, basics, condition, delete, eventually, gone, once};
use crate::server::{discard, namespace, shared, unique};

/// A ServiceAccount with these rights in the whole cluster, and with those in single namespaces; as a client.
async fn account(admin: &Client, home: &str, of_cluster: Vec<PolicyRule>, of_spaces: &[(&str, Vec<PolicyRule>)]) -> (Client, String) {
    let (name, user) = (unique("account"), format!("system:serviceaccount:{home}:kakehi"));
    let meta = json!({"name": name});
    let subjects = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]);
    let reference = |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    let role: ClusterRole = serde_json::from_value(json!({"metadata": meta, "rules": of_cluster})).unwrap();
    Api::all(admin.clone()).create(&PostParams::default(), &role).await.unwrap();
    let binding = json!({"metadata": meta, "roleRef": reference("ClusterRole"), "subjects": subjects});
    let binding: ClusterRoleBinding = serde_json::from_value(binding).unwrap();
    Api::all(admin.clone()).create(&PostParams::default(), &binding).await.unwrap();
    let leases = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]});
    let leases: PolicyRule = serde_json::from_value(leases).unwrap();
    for (space, rules) in of_spaces {
        let rules: Vec<_> = rules.iter().cloned().chain((*space == home).then(|| leases.clone())).collect();
        let role: Role = serde_json::from_value(json!({"metadata": meta, "rules": rules})).unwrap();
        Api::namespaced(admin.clone(), space).create(&PostParams::default(), &role).await.unwrap();
        let binding = json!({"metadata": meta, "roleRef": reference("Role"), "subjects": subjects});
        let binding: RoleBinding = serde_json::from_value(binding).unwrap();
        Api::namespaced(admin.clone(), space).create(&PostParams::default(), &binding).await.unwrap();
    }
    let mut config = shared().await;
    config.auth_info.impersonate = Some(user.clone());
    let client = Client::try_from(config).unwrap();
    let services = api(&client, "Deployment", home);
    eventually("the rights are known", async || services.list(&ListParams::default().limit(1)).await.ok().map(drop)).await;
    (client, user)
}

fn is_forbidden<T>(answer: Result<T, kube::Error>) -> bool {
    matches!(answer, Err(kube::Error::Api(status)) if status.code == 403)
}

/// The series that say which kinds may not be read.
fn forbidden(operator: &Running) -> Vec<String> {
    let text = operator.scrape();
    text.lines().filter(|line| line.contains("state=\"forbidden\"") && line.ends_with(" 1")).map(str::to_owned).collect()
}

#[tokio::test]
async fn edges_of_other_namespaces_run_in_the_operator_s_with_rights_there_alone() {
    let admin = Client::try_from(shared().await).unwrap();
    let (home, space) = (namespace(&admin, "home").await, namespace(&admin, "tenant").await);
    let of_cluster = cluster_rules().into_iter().chain(namespace_rules()).collect();
    let (client, _) = account(&admin, &home, of_cluster, &[(&home, edge_rules())]).await;
    let controller = format!("test.kakehi.dev/{space}");
    let mode = || Mode { place: Place::Operator, ..Mode::default() };
    let operator = Running::start_making_with(&client, &controller, &home, mode());
    basics(&admin, &controller, &space).await;
    let labels = Patch::Merge(json!({"spec": {"infrastructure": {"labels": {"app.kubernetes.io/instance": "stolen"}}}}));
    api(&admin, "Gateway", &space).patch("web", &PatchParams::default(), &labels).await.unwrap();
    let installation = Installation { namespace: home.clone(), place: Place::Operator, ..Installation::default() };
    let name = installation.name_of(&EdgeId::of_gateway(&space, "web"));
    let is_labelled = |made: &Value| made["metadata"]["labels"]["app.kubernetes.io/instance"] == "stolen";
    let deployment = once(&admin, ("Deployment", &home, &name), is_labelled).await;
    let uid = api(&admin, "Gateway", &space).get("web").await.unwrap().metadata.uid.unwrap();
    assert_eq!(
        (&deployment["metadata"]["annotations"]["kakehi.dev/edge-uid"], &deployment["metadata"]["ownerReferences"]),
        (&json!(uid), &Value::Null)
    );
    let of_pods = &deployment["spec"]["template"]["metadata"]["labels"];
    assert!(of_pods["app.kubernetes.io/instance"].is_null(), "a tenant labels no pods of this namespace: {of_pods}");

    let balanced = |address: &str| Patch::Merge(json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}));
    once(&admin, ("Service", &home, &name), |_| true).await;
    api(&admin, "Service", &home).patch_status(&name, &PatchParams::default(), &balanced("192.0.2.60")).await.unwrap();
    let shows = |gateway: &Value| gateway["status"]["addresses"] == json!([{"type": "IPAddress", "value": "192.0.2.60"}]);
    once(&admin, ("Gateway", &space, "web"), shows).await;
    let made = api(&admin, "Deployment", &space).list(&ListParams::default()).await.unwrap();
    assert!(made.items.is_empty());
    assert!(is_forbidden(api(&client, "Deployment", &space).list(&ListParams::default()).await), "no rights in the tenant's namespace");

    // As an attacker: the very name, with the right uid, in a namespace of his own.
    let annotations =
        json!({"kakehi.dev/edge-of": format!("{space}/web"), "kakehi.dev/controller": controller, "kakehi.dev/edge-uid": uid});
    let metadata = json!({"labels": {"kakehi.dev/edge": name}, "annotations": annotations});
    let fake = json!({"metadata": metadata, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    apply(&admin, "Service", &space, &name, fake).await;
    api(&admin, "Service", &space).patch_status(&name, &PatchParams::default(), &balanced("203.0.113.66")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    once(&admin, ("Gateway", &space, "web"), shows).await;
    // The leader is away when the Gateway goes and comes again under its name: what it had is not taken for the new one's.
    operator.stop().await.unwrap();
    let gateway = api(&admin, "Gateway", &space);
    let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    delete(&admin, ("Gateway", &space, "web")).await;
    gateway.patch("web", &PatchParams::default(), &released).await.unwrap();
    gone(&admin, ("Gateway", &space, "web")).await;
    let next = Running::start_making_with(&client, &controller, &home, mode());
    gone(&admin, ("Deployment", &home, &name)).await;
    basics(&admin, &controller, &space).await;
    let again = once(&admin, ("Deployment", &home, &name), |_| true).await;
    assert_ne!(again["metadata"]["annotations"]["kakehi.dev/edge-uid"], json!(uid));
    delete(&admin, ("Gateway", &space, "web")).await;
    for part in Part::ALL {
        gone(&admin, (&part.resource().kind, &home, &name)).await;
    }
    assert_eq!(forbidden(&next), Vec::<String>::new());
    next.stop().await.unwrap();
    discard(&admin, &space).await;
    discard(&admin, &home).await;
}

#[tokio::test]
async fn of_other_namespaces_than_the_chosen_ones_nothing_is_read() {
    let admin = Client::try_from(shared().await).unwrap();
    let (home, other) = (namespace(&admin, "chosen").await, namespace(&admin, "chosen-too").await);
    let stranger = namespace(&admin, "not-chosen").await;
    let of_space = || namespace_rules().into_iter().chain(edge_rules()).collect::<Vec<_>>();
    let (client, _) = account(&admin, &home, cluster_rules(), &[(&home, of_space()), (&other, of_space())]).await;
    let controller = format!("test.kakehi.dev/{home}");
    let namespaces = Some(Arc::new(BTreeSet::from([home.clone(), other.clone()])));
    let operator = Running::start_making_with(&client, &controller, &home, Mode { namespaces, ..Mode::default() });
    for space in [&home, &other, &stranger] {
        basics(&admin, &controller, space).await;
    }
    for space in [&home, &other] {
        once(&admin, ("Gateway", space, "web"), |gateway| condition(&gateway["status"], "Accepted") == "True").await;
        once(&admin, ("Service", space, "kakehi-web"), |_| true).await;
    }
    delete(&admin, ("Gateway", &other, "web")).await;
    gone(&admin, ("Gateway", &other, "web")).await;
    gone(&admin, ("Service", &other, "kakehi-web")).await;
    let spaces: BTreeSet<_> =
        operator.world.borrow().objects.keys().map(|id| id.namespace.clone()).filter(|name| !name.is_empty()).collect();
    assert!(spaces.contains(&home) && !spaces.contains(&stranger) && spaces.len() <= 2, "{spaces:?}");
    assert_eq!(forbidden(&operator), Vec::<String>::new());
    let gateway = once(&admin, ("Gateway", &stranger, "web"), |_| true).await;
    assert_ne!(condition(&gateway["status"], "Accepted"), "True");
    operator.stop().await.unwrap();
    for space in [&home, &other, &stranger] {
        discard(&admin, space).await;
    }
}

/// The chart's policy `name`, for this user, with the rules of a file of the chart.
async fn policy(admin: &Client, file: &str, (name, conditions): (&str, Value), more: Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/kakehi/files").join(file);
    let validations: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut spec = json!({"failurePolicy": "Fail", "matchConditions": conditions, "validations": validations});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let policy: ValidatingAdmissionPolicy = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
    let policies = Api::all(admin.clone());
    policies.create(&PostParams::default(), &policy).await.unwrap();
    let binding = json!({"policyName": name, "validationActions": ["Deny"]});
    let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({"metadata": {"name": name}, "spec": binding})).unwrap();
    Api::all(admin.clone()).create(&PostParams::default(), &binding).await.unwrap();
    eventually("its expressions are checked", async || {
        let policy: ValidatingAdmissionPolicy = policies.get(name).await.unwrap();
        let status = policy.status.filter(|status| status.observed_generation.is_some())?;
        let warnings = status.type_checking.and_then(|checking| checking.expression_warnings).unwrap_or_default();
        assert!(warnings.is_empty(), "{warnings:#?}");
        Some(())
    })
    .await;
}

/// The Deployment or DaemonSet of an edge, as the operator makes it.
fn workload(part: Part, space: &str) -> Value {
    let installation = Installation {
        controller: "test.kakehi.dev/admission".into(),
        edge_image: "kakehi.test/edge:1".into(),
        sozu_image: "kakehi.test/sozu:1".into(),
        snapshot_url: "https://kakehi:9443".into(),
        namespace: space.to_owned(),
        ..Installation::default()
    };
    let edge = EdgeSpec {
        id: EdgeId::of_gateway(space, "web"),
        uid: "u-1".into(),
        ports: [80].into(),
        address: None,
        labels: Default::default(),
        annotations: Default::default(),
        profile: serde_json::from_value(json!({"placement": {"workload": part.resource().kind}})).unwrap(),
    };
    let object = objects(&edge, &installation, "PEM").unwrap().remove(&part).unwrap();
    let mut object = serde_json::to_value(object).unwrap();
    // There is no such Gateway: what it owns would be collected.
    object["metadata"]["ownerReferences"] = Value::Null;
    object
}

/// The chart's policies, for the ServiceAccount `user` of an operator in `home`. The name of the first.
async fn restrict(admin: &Client, home: &str, user: &str) -> String {
    let name = unique("policy");
    let is_user = json!({"name": "the-operator-writes", "expression": format!("request.userInfo.username == '{user}'")});
    let elsewhere = json!({"name": "elsewhere", "expression": format!("request.namespace != '{home}'")});
    let rule = |groups: Value, operations: Value, resources: Value| json!([{"apiGroups": groups, "apiVersions": ["*"], "operations": operations, "resources": resources}]);
    let of_workloads = rule(json!(["apps"]), json!(["CREATE", "UPDATE"]), json!(["deployments", "daemonsets"]));
    let images = json!(["kakehi.test/edge:1", "kakehi.test/sozu:1"]).to_string();
    let networks = json!(["Pod"]).to_string();
    let variables = json!([{"name": "images", "expression": images}, {"name": "networks", "expression": networks}]);
    let more = json!({"variables": variables, "matchConstraints": {"resourceRules": of_workloads}});
    policy(admin, "admission-validations.yaml", (&name, json!([is_user])), more).await;
    let resources = json!([
        "configmaps",
        "serviceaccounts",
        "services",
        "deployments",
        "daemonsets",
        "horizontalpodautoscalers",
        "networkpolicies",
        "poddisruptionbudgets"
    ]);
    let groups = json!(["", "apps", "autoscaling", "networking.k8s.io", "policy"]);
    let of_parts = rule(groups, json!(["CREATE", "UPDATE", "DELETE"]), resources);
    let more = json!({"matchConstraints": {"resourceRules": of_parts}});
    policy(admin, "admission-parts.yaml", (&format!("{name}-parts"), json!([is_user, elsewhere])), more).await;
    name
}

/// What an attacker puts where into the pods of a Deployment, and why it is refused.
fn attempts() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("/containers/0/image", json!("evil:1"), "images other than those of"),
        ("/containers/1/securityContext", json!({"privileged": true}), "privileges"),
        ("/containers/1/securityContext/runAsUser", json!(0), "privileges"),
        ("/containers/0/securityContext/capabilities", json!({"drop": ["ALL"], "add": ["NET_ADMIN"]}), "privileges"),
        ("/containers/0/command", json!(["sh"]), "commands"),
        ("/containers/0/envFrom", json!([{"secretRef": {"name": "x"}}]), "variables from Secrets"),
        ("/containers/0/env", json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}]), "variables from Secrets"),
        ("/serviceAccountName", json!("default"), "another ServiceAccount"),
        ("/automountServiceAccountToken", json!(true), "another ServiceAccount"),
        ("/hostNetwork", json!(true), "namespaces of the node"),
        ("/hostPID", json!(true), "namespaces of the node"),
        ("/securityContext/runAsNonRoot", json!(false), "root"),
        ("/initContainers", json!([{"name": "a", "image": "kakehi.test/edge:1"}]), "containers besides"),
        ("/volumes/0", json!({"name": "run", "hostPath": {"path": "/"}}), "volumes other than"),
        ("/volumes/0", json!({"name": "run", "secret": {"secretName": "x"}}), "volumes other than"),
        ("/volumes/2", json!({"name": "ca", "configMap": {"name": "other"}}), "volumes other than"),
    ]
}

/// What others made, and what is no part of an edge.
async fn leaves_others_alone(admin: &Client, client: &Client, space: &str) {
    let theirs = json!({"spec": {"ports": [{"port": 80}]}});
    apply(admin, "Service", space, "theirs", theirs).await;
    let services: Api<DynamicObject> = api(client, "Service", space);
    let stolen = Patch::Merge(json!({"metadata": {"labels": {"kakehi.dev/edge": "x"}}, "spec": {"selector": {"app": "evil"}}}));
    // The API server may know this policy later than that of Deployments.
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    eventually("the policy of parts is known", async || services.patch("theirs", &dry_run, &stolen).await.err()).await;
    let refused = services.patch("theirs", &PatchParams::default(), &stolen).await.unwrap_err().to_string();
    assert!(refused.contains("what others made"), "{refused}");
    let refused = services.delete("theirs", &Default::default()).await.unwrap_err().to_string();
    assert!(refused.contains("what others made"), "{refused}");
    let free = serde_json::from_value(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "mine"}, "spec": {"ports": [{"port": 80}]}}),
    );
    let refused = services.create(&PostParams::default(), &free.unwrap()).await.unwrap_err().to_string();
    assert!(refused.contains("no part of an edge"), "{refused}");
}

/// Of this kind of workload.
async fn makes_edges_alone(admin: &Client, client: &Client, space: &str, part: Part) {
    let kind = part.resource().kind;
    let workloads: Api<DynamicObject> = api(client, &kind, space);
    let create = async |workload: &Value, dry_run| {
        let object = serde_json::from_value(workload.clone()).unwrap();
        workloads.create(&PostParams { dry_run, ..PostParams::default() }, &object).await.map_err(|error| error.to_string())
    };
    let mut other_image = workload(part, space);
    other_image["spec"]["template"]["spec"]["containers"][0]["image"] = json!("evil:1");
    eventually("the policy is known", async || create(&other_image, true).await.err()).await;
    create(&workload(part, space), false).await.unwrap();
    delete(client, (&kind, space, "kakehi-web")).await;
    // Those of all others are no concern of the policy.
    let theirs: Api<DynamicObject> = api(admin, &kind, space);
    let object = serde_json::from_value(other_image.clone()).unwrap();
    theirs.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await.unwrap();

    for (path, value, why) in attempts() {
        let mut attempt = workload(part, space);
        let (parent, field) = path.rsplit_once('/').unwrap();
        let at = attempt.pointer_mut(&format!("/spec/template/spec{parent}")).unwrap();
        if field == "hostNetwork" {
            at["securityContext"]["sysctls"] = Value::Null;
        }
        match field.parse::<usize>() {
            Ok(index) => at[index] = value,
            Err(_) => at[field] = value,
        }
        let refused = create(&attempt, true).await.expect_err(path);
        assert!(refused.contains(why) && refused.contains("denied request"), "{kind} {path}: {refused}");
    }
}

#[tokio::test]
async fn the_operator_s_token_makes_no_workloads_but_edges() {
    let admin = Client::try_from(shared().await).unwrap();
    let (home, space) = (namespace(&admin, "operator").await, namespace(&admin, "admitted").await);
    let (client, user) = account(&admin, &home, rules(), &[(&home, Vec::new())]).await;
    let name = restrict(&admin, &home, &user).await;
    for part in [Part::Deployment, Part::DaemonSet] {
        makes_edges_alone(&admin, &client, &space, part).await;
    }
    leaves_others_alone(&admin, &client, &space).await;
    for name in [name.clone(), format!("{name}-parts")] {
        Api::<ValidatingAdmissionPolicyBinding>::all(admin.clone()).delete(&name, &Default::default()).await.unwrap();
        Api::<ValidatingAdmissionPolicy>::all(admin.clone()).delete(&name, &Default::default()).await.unwrap();
    }
    discard(&admin, &space).await;
    discard(&admin, &home).await;
}
