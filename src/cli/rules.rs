//! `kakehi rules`: prints what the operator must be allowed to do in a cluster, made from the tables of kinds.

use std::collections::BTreeMap;
use std::process::ExitCode;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::ObjectMeta;

use crate::provision::Part;
use crate::store::kinds::{Finalizer, table};

/// Rights beyond the tables: (group, resource, verbs, why).
const MORE: &[(&str, &str, &[&str], &str)] = &[
    ("authentication.k8s.io", "tokenreviews", &["create"], "edges show their ServiceAccount's token"),
    ("", "pods", &["get"], "the token's pod must be a live pod of the edge"),
    ("apps", "replicasets", &["get"], "which belongs to its Deployment through a ReplicaSet"),
    ("events.k8s.io", "events", &["create", "patch"], "Events"),
    ("apiextensions.k8s.io", "customresourcedefinitions", &["get", "list", "watch"], "which Gateway API is installed"),
];

pub(super) fn run() -> anyhow::Result<ExitCode> {
    let metadata = ObjectMeta { name: Some("kakehi".to_owned()), ..Default::default() };
    let role = ClusterRole { metadata, rules: Some(rules()), ..Default::default() };
    print!("{}", serde_saphyr::to_string(&serde_json::to_value(role)?)?);
    Ok(ExitCode::SUCCESS)
}

/// The rules of the operator's ClusterRole, sorted, one per resource.
pub fn rules() -> Vec<PolicyRule> {
    let mut all: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    let mut allow = |group: &str, resource: String, verbs: &[&'static str]| {
        let known = all.entry((group.to_owned(), resource)).or_default();
        known.extend(verbs);
        known.sort_unstable();
        known.dedup();
    };
    for row in table() {
        allow(row.group, row.plural.to_owned(), &["get", "list", "watch"]);
        if row.finalizer != Finalizer::Never {
            allow(row.group, row.plural.to_owned(), &["patch"]);
            allow(row.group, format!("{}/finalizers", row.plural), &["update"]);
        }
        if row.status {
            allow(row.group, format!("{}/status", row.plural), &["patch", "update"]);
        }
    }
    for part in Part::ALL {
        let resource = part.resource();
        let verbs: &[&'static str] =
            if part.is_watched() { &["create", "delete", "get", "list", "patch", "watch"] } else { &["create", "delete", "get", "patch"] };
        allow(&resource.group, resource.plural.clone(), verbs);
    }
    for (group, resource, verbs, _) in MORE {
        allow(group, (*resource).to_owned(), verbs);
    }
    let rule = |((group, resource), verbs): ((String, String), Vec<&str>)| PolicyRule {
        api_groups: Some(vec![group]),
        resources: Some(vec![resource]),
        verbs: verbs.into_iter().map(str::to_owned).collect(),
        ..Default::default()
    };
    all.into_iter().map(rule).collect()
}
