//! `kakehi rules`: prints what the operator must be allowed to do in a cluster, made from the tables of kinds and of what edges
//! consist of.

use std::collections::BTreeMap;
use std::process::ExitCode;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::ObjectMeta;

use super::telling::print;
use crate::model::Kind;
use crate::provision::Part;
use crate::store::kinds::{Finalizer, Row, Scope, row, table};

/// A right beyond the tables: (group, resource, verbs, why).
type More = (&'static str, &'static str, &'static [&'static str], &'static str);

/// Those that have no namespace, or any: Events of objects without a namespace are in `default`.
const MORE: &[More] = &[
    ("authentication.k8s.io", "tokenreviews", &["create"], "edges show their ServiceAccount's token"),
    ("events.k8s.io", "events", &["create", "patch"], "Events"),
    ("apiextensions.k8s.io", "customresourcedefinitions", &["get", "list", "watch"], "which Gateway API is installed"),
];

/// Those where edges run.
const BESIDE_EDGES: &[More] = &[
    ("", "pods", &["get"], "the token's pod must be a live pod of the edge"),
    ("", "pods", &["list", "watch"], "an edge at the ports of its nodes has their addresses"),
    ("apps", "replicasets", &["get"], "which may belong to its Deployment through a ReplicaSet"),
    ("", "configmaps", &["create", "delete", "patch"], "claims of hosts, in the operator's namespace"),
];

pub(super) fn run() -> anyhow::Result<ExitCode> {
    let metadata = ObjectMeta { name: Some("kakehi".to_owned()), ..Default::default() };
    let role = ClusterRole { metadata, rules: Some(rules()), ..Default::default() };
    print(&serde_saphyr::to_string(&serde_json::to_value(role)?)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Rights to resources: verbs by group and resource.
#[derive(Default)]
struct Rights(BTreeMap<(String, String), Vec<&'static str>>);

impl Rights {
    fn allow(&mut self, group: &str, resource: String, verbs: &[&'static str]) {
        let known = self.0.entry((group.to_owned(), resource)).or_default();
        known.extend(verbs);
        known.sort_unstable();
        known.dedup();
    }

    /// Sorted, one rule per resource.
    fn rules(self) -> Vec<PolicyRule> {
        let rule = |((group, resource), verbs): ((String, String), Vec<&str>)| PolicyRule {
            api_groups: Some(vec![group]),
            resources: Some(vec![resource]),
            verbs: verbs.into_iter().map(str::to_owned).collect(),
            ..Default::default()
        };
        self.0.into_iter().map(rule).collect()
    }
}

/// The rules of the ClusterRole under which an operator is withdrawn.
pub fn withdraw_rules() -> Vec<PolicyRule> {
    let mut rights = Rights::default();
    for row in table().filter(|row| row.finalizer != Finalizer::Never) {
        rights.allow(row.group, row.plural.to_owned(), &["list", "patch"]);
    }
    let ingress = row(Kind::Ingress);
    rights.allow(ingress.group, format!("{}/status", ingress.plural), &["patch"]);
    rights.rules()
}

/// The rules of the Role under which the edges of IngressClasses are deleted with it, in the operator's namespace.
pub fn withdraw_edge_rules() -> Vec<PolicyRule> {
    let mut rights = Rights::default();
    for resource in Part::ALL.map(Part::resource) {
        rights.allow(&resource.group, resource.plural.clone(), &["delete", "list"]);
    }
    rights.rules()
}

/// What the operator needs wherever it is installed, of the whole cluster: objects without a namespace.
pub fn cluster_rules() -> Vec<PolicyRule> {
    let mut rights = Rights::default();
    rights.read(table().filter(|row| row.scope == Scope::Cluster));
    rights.more(MORE);
    rights.rules()
}

/// What it needs of the namespaces that it watches.
pub fn namespace_rules() -> Vec<PolicyRule> {
    let mut rights = Rights::default();
    rights.read(table().filter(|row| row.scope == Scope::Namespaced));
    rights.rules()
}

/// What it needs where edges run.
pub fn edge_rules() -> Vec<PolicyRule> {
    let mut rights = Rights::default();
    for part in Part::ALL {
        let resource = part.resource();
        let verbs: &[&'static str] =
            if part.is_watched() { &["create", "delete", "get", "list", "patch", "watch"] } else { &["create", "delete", "get", "patch"] };
        rights.allow(&resource.group, resource.plural.clone(), verbs);
    }
    rights.more(BESIDE_EDGES);
    rights.rules()
}

/// All of them: the rules of a ClusterRole for an operator that watches all namespaces and has edges in all.
pub fn rules() -> Vec<PolicyRule> {
    cluster_rules().into_iter().chain(namespace_rules()).chain(edge_rules()).collect()
}

impl Rights {
    /// Reads the objects of these kinds, and writes what is written of them.
    fn read(&mut self, rows: impl Iterator<Item = &'static Row>) {
        for row in rows {
            self.allow(row.group, row.plural.to_owned(), &["get", "list", "watch"]);
            if row.finalizer != Finalizer::Never {
                self.allow(row.group, row.plural.to_owned(), &["patch"]);
                self.allow(row.group, format!("{}/finalizers", row.plural), &["update"]);
            }
            if row.status {
                self.allow(row.group, format!("{}/status", row.plural), &["patch", "update"]);
            }
        }
    }

    fn more(&mut self, rights: &[More]) {
        for (group, resource, verbs, _) in rights {
            self.allow(group, (*resource).to_owned(), verbs);
        }
    }
}
