//! Rights that an operator lacks: it says so, counts it and serves the rest, and needs no restart once it has them.

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use kakehi::cli::rules::rules;
use kakehi::model::{Kind, ObjectId};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;

use crate::rig::{Edges, Running, api, apply, basics, condition, eventually, once, programmed, route};
use crate::server::{discard, namespace, shared};

/// Rights that somebody lacks: verbs of resources.
type Lacks = &'static [(&'static str, &'static [&'static str])];

/// Somebody who has the rights that the chart gives to operators, or not all of them.
struct User {
    admin: Client,
    /// Its name, and that of its role.
    name: String,
}

impl User {
    async fn new(admin: &Client, name: &str, lacks: Lacks) -> (Client, Self) {
        let user = Self { admin: admin.clone(), name: name.to_owned() };
        user.may(lacks).await;
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
        }))
        .unwrap();
        Api::<ClusterRoleBinding>::all(admin.clone()).create(&Default::default(), &binding).await.unwrap();
        let mut config = shared().await;
        config.auth_info.impersonate = Some(name.to_owned());
        let client = Client::try_from(config).unwrap();
        let services = api(&client, "Service", "");
        eventually("the rights are known", async || services.list(&ListParams::default().limit(1)).await.ok().map(drop)).await;
        (client, user)
    }

    /// Has exactly the rights of an operator but these, from soon on.
    async fn may(&self, lacks: Lacks) {
        let leases = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]});
        let mut rules: Vec<PolicyRule> = rules().into_iter().chain([serde_json::from_value(leases).unwrap()]).collect();
        for rule in &mut rules {
            let resources = rule.resources.clone().unwrap_or_default();
            for (_, verbs) in lacks.iter().filter(|(resource, _)| resources.iter().any(|one| one == resource)) {
                rule.verbs.retain(|verb| !verbs.contains(&verb.as_str()));
            }
        }
        rules.retain(|rule| !rule.verbs.is_empty());
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": self.name}, "rules": rules,
        });
        let roles: Api<ClusterRole> = Api::all(self.admin.clone());
        roles.patch(&self.name, &PatchParams::apply("test").force(), &Patch::Apply(&role)).await.unwrap();
    }

    async fn discard(self) {
        Api::<ClusterRoleBinding>::all(self.admin.clone()).delete(&self.name, &DeleteParams::default()).await.unwrap();
        Api::<ClusterRole>::all(self.admin.clone()).delete(&self.name, &DeleteParams::default()).await.unwrap();
    }
}

/// Lines that this thread logs.
struct Log {
    lines: mpsc::Receiver<String>,
    _guard: DefaultGuard,
}

#[derive(Clone)]
struct Pen(mpsc::Sender<String>);

impl Write for Pen {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        drop(self.0.send(String::from_utf8_lossy(text).into_owned()));
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> Self {
        let (sender, lines) = mpsc::channel();
        let pen = Pen(sender);
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || pen.clone()).finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Lines so far in which all of this occurs.
    fn with(&self, words: &[&str]) -> Vec<String> {
        self.lines.try_iter().filter(|line| words.iter().all(|word| line.contains(word))).collect()
    }
}

/// The value of a series as it is scraped.
fn series(operator: &Running, name: &str) -> u64 {
    let text = operator.scrape();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.trim().parse().unwrap()
}

#[tokio::test]
async fn kinds_that_may_not_be_read_hold_nothing_up() {
    let admin = Client::try_from(shared().await).unwrap();
    let space = namespace(&admin, "unread").await;
    let (client, user) = User::new(&admin, &space, &[("grpcroutes", &["list", "watch"]), ("configmaps", &["watch"])]).await;
    let log = Log::start();
    let controller = format!("test.kakehi.dev/{space}");
    let operator = Running::start(&client, &controller, &space, Edges::new(true));
    basics(&admin, &controller, &space).await;
    apply(&admin, "HTTPRoute", &space, "route", route("here", "a.example.com")).await;
    once(&admin, ("HTTPRoute", &space, "route"), programmed).await;
    for (kind, failed) in [("GRPCRoute", "list"), ("ConfigMap", "watch")] {
        assert_eq!(series(&operator, &format!("kakehi_watch_state{{kind=\"{kind}\",state=\"forbidden\"}}")), 1);
        assert!(series(&operator, &format!("kakehi_watch_errors_total{{kind=\"{kind}\",variant=\"{failed}\"}}")) > 0);
    }
    // What may be listed and not watched is looked at from time to time.
    apply(&admin, "ConfigMap", &space, "later", json!({})).await;
    let later = ObjectId::new(Kind::ConfigMap, &space, "later");
    eventually("it is listed", async || operator.world.borrow().objects.contains_key(&later).then_some(())).await;
    assert_eq!(series(&operator, "kakehi_watch_state{kind=\"ConfigMap\",state=\"forbidden\"}"), 1);
    let told = log.with(&["ERROR", "may not be read"]);
    assert!(told.len() == 2 && told.iter().any(|line| line.contains("cannot list resource \"grpcroutes\"")), "{told:#?}");
    assert!(told.iter().any(|line| line.contains("cannot watch resource \"configmaps\"")), "{told:#?}");

    user.may(&[]).await;
    for kind in ["GRPCRoute", "ConfigMap"] {
        let synced = || series(&operator, &format!("kakehi_watch_state{{kind=\"{kind}\",state=\"synced\"}}")) == 1;
        eventually("it is read", async || synced().then_some(())).await;
    }
    let told = log.with(&["ERROR"]);
    assert!(told.is_empty(), "{told:#?}");
    apply(&admin, "GRPCRoute", &space, "late", route("here", "grpc.example.com")).await;
    once(&admin, ("GRPCRoute", &space, "late"), programmed).await;
    operator.stop().await.unwrap();
    user.discard().await;
    discard(&admin, &space).await;
}

#[tokio::test]
async fn statuses_that_may_not_be_written_cost_nothing_else() {
    const ROUTES: usize = 10;
    let admin = Client::try_from(shared().await).unwrap();
    let space = namespace(&admin, "mute").await;
    let (client, user) = User::new(&admin, &space, &[("httproutes/status", &["patch", "update"])]).await;
    let log = Log::start();
    let controller = format!("test.kakehi.dev/{space}");
    let edges = Edges::new(true);
    let mut held = edges.held();
    let operator = Running::start(&client, &controller, &space, edges);
    basics(&admin, &controller, &space).await;
    for index in 0..ROUTES {
        apply(&admin, "HTTPRoute", &space, &format!("route-{index}"), route("here", &format!("{index}.example.com"))).await;
    }
    let is_whole = |gateway: &Value| gateway["status"]["listeners"][0]["attachedRoutes"] == ROUTES;
    once(&admin, ("Gateway", &space, "web"), is_whole).await;
    let served = held.wait_for(|held| held.values().any(|resources| *resources > ROUTES));
    tokio::time::timeout(crate::rig::PATIENCE, served).await.expect("they are served").unwrap();
    let forbidden = "kakehi_reconcile_errors_total{kind=\"HTTPRoute\",variant=\"forbidden\"}";
    eventually("it is counted", async || (series(&operator, forbidden) >= 2 * ROUTES as u64).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let attempts = series(&operator, forbidden);
    assert!(attempts <= 6 * ROUTES as u64, "{attempts} attempts");
    let told = log.with(&["WARN", "cannot write", "cannot patch resource \\\"httproutes/status\\\""]);
    assert_eq!(told.len(), 1, "{told:#?}");

    user.may(&[]).await;
    for index in 0..ROUTES {
        once(&admin, ("HTTPRoute", &space, &format!("route-{index}")), programmed).await;
    }
    operator.stop().await.unwrap();
    user.discard().await;
    discard(&admin, &space).await;
}

#[tokio::test]
async fn edges_that_may_not_be_made_are_told_and_made_later() {
    let admin = Client::try_from(shared().await).unwrap();
    let space = namespace(&admin, "unmade").await;
    let (client, user) = User::new(&admin, &space, &[("deployments", &["create"])]).await;
    let controller = format!("test.kakehi.dev/{space}");
    let operator = Running::start_making(&client, &controller, &space);
    basics(&admin, &controller, &space).await;
    apply(&admin, "HTTPRoute", &space, "route", route("here", "a.example.com")).await;
    let is_told = |gateway: &Value| {
        let conditions = gateway["status"]["conditions"].as_array().into_iter().flatten();
        let words = ["deployments.apps", "is forbidden", "cannot create resource"];
        conditions
            .filter(|one| one["type"] == "Programmed" && one["status"] == "False")
            .any(|one| words.iter().all(|words| one["message"].as_str().unwrap().contains(words)))
    };
    let gateway = once(&admin, ("Gateway", &space, "web"), is_told).await;
    assert_eq!(condition(&gateway["status"], "Accepted"), "True");
    let is_accepted = |route: &Value| condition(&route["status"]["parents"][0], "Accepted") == "True";
    once(&admin, ("HTTPRoute", &space, "route"), is_accepted).await;
    assert!(series(&operator, "kakehi_reconcile_errors_total{kind=\"Deployment\",variant=\"forbidden\"}") > 0);
    user.may(&[]).await;
    once(&admin, ("Deployment", &space, "kakehi-web"), |_| true).await;
    once(&admin, ("Service", &space, "kakehi-web"), |_| true).await;
    once(&admin, ("Gateway", &space, "web"), |gateway| !is_told(gateway)).await;
    operator.stop().await.unwrap();
    user.discard().await;
    discard(&admin, &space).await;
}
