//! Names and labels of what is made for an edge.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{EdgeId, Kind};

/// Label that selects the pods of one edge in its namespace, and tells our objects from others.
pub const EDGE: &str = "kakehi.dev/edge";
/// Annotation that names the Gateway or IngressClass in full.
const OWNER: &str = "kakehi.dev/edge-of";
/// Annotation that names the controller whose edge it is: installations do not touch each other's objects.
const CONTROLLER: &str = "kakehi.dev/controller";
/// Annotation of a Deployment: the hash of its pod template. Another one means other pods.
const TEMPLATE: &str = "kakehi.dev/pod-template";
/// Label with the Gateway's name (GEP-1762).
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// Longest name of a Service, and longest value of a label.
const LONGEST: usize = 63;
const PREFIX: &str = "kakehi-";
const CLASS_PREFIX: &str = "kakehi-ingress-";
/// Hexadecimal digits of a hash in a name.
const HASH: usize = 10;

/// Name of the edge's objects, a valid name for a Service. Gateways may have names that are not: longer than 63 characters,
/// or with dots.
pub fn object(edge: &EdgeId) -> String {
    let prefix = match edge.kind() {
        Kind::IngressClass => CLASS_PREFIX,
        _ => PREFIX,
    };
    let plain = format!("{prefix}{}", edge.name);
    if plain.len() <= LONGEST && !plain.contains('.') {
        return plain;
    }
    format!("{prefix}{}", shortened(&edge.name, LONGEST - prefix.len()).replace('.', "-"))
}

/// The first characters of a name with a hash of all of it, at most `longest` characters.
fn shortened(name: &str, longest: usize) -> String {
    let hash: String = blake3::hash(name.as_bytes()).to_hex().chars().take(HASH).collect();
    let head: String = name.chars().take(longest - HASH - 1).collect();
    format!("{}-{hash}", head.trim_end_matches(['-', '.']))
}

/// The labels that select an edge's pods. They never change.
pub fn selector(edge: &EdgeId) -> BTreeMap<String, String> {
    BTreeMap::from([(EDGE.to_owned(), object(edge))])
}

/// The labels of everything that is made for an edge: the user's, and ours over them.
pub fn labels(edge: &EdgeId, of_user: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let gateway = if edge.name.len() <= LONGEST { edge.name.clone() } else { shortened(&edge.name, LONGEST) };
    let own = [
        ("app.kubernetes.io/name", "kakehi-edge".to_owned()),
        ("app.kubernetes.io/component", "edge".to_owned()),
        ("app.kubernetes.io/managed-by", "kakehi".to_owned()),
    ];
    let of_gateway = (edge.kind() == Kind::Gateway).then_some((GATEWAY_NAME, gateway));
    let own = own.into_iter().chain(of_gateway).map(|(key, value)| (key.to_owned(), value)).chain(selector(edge));
    of_user.clone().into_iter().chain(own).collect()
}

/// The annotations of everything that is made for an edge: the user's, and ours over them.
pub fn annotations(edge: &EdgeId, controller: &str, of_user: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = [(OWNER.to_owned(), edge.to_string()), (CONTROLLER.to_owned(), controller.to_owned())];
    of_user.clone().into_iter().chain(own).collect()
}

/// For which edge an object with these annotations was made, if by this controller.
pub fn edge_of(annotations: &BTreeMap<String, String>, controller: &str) -> Option<EdgeId> {
    annotations.get(CONTROLLER).filter(|name| *name == controller)?;
    annotations.get(OWNER)?.parse().ok()
}

/// The annotation that tells pod templates apart.
///
/// # Errors
/// Never for plain values; serialisation is fallible by type.
pub(super) fn template(template: &impl Serialize) -> Result<(String, String), serde_json::Error> {
    let hash: String = blake3::hash(&serde_json::to_vec(template)?).to_hex().chars().take(HASH).collect();
    Ok((TEMPLATE.to_owned(), hash))
}

/// What tells the pod template of a Deployment with these annotations from others.
pub fn template_of(annotations: &BTreeMap<String, String>) -> Option<&str> {
    annotations.get(TEMPLATE).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{annotations, edge_of, labels, object, selector};
    use crate::model::EdgeId;

    fn edge(name: &str) -> EdgeId {
        EdgeId { namespace: "shop".into(), name: name.into() }
    }

    #[test]
    fn every_gateway_s_name_becomes_a_service_s_name_of_its_own() {
        let long = "a.".repeat(126) + "b";
        let names = ["web", "0", "a.b", "a-b", &"x".repeat(56), &"x".repeat(57), &"x".repeat(253), &long, &(long.clone() + "c")];
        let objects: BTreeSet<_> = names.iter().map(|name| object(&edge(name))).collect();
        assert_eq!(objects.len(), names.len(), "{objects:?}");
        for name in objects {
            assert!(name.len() <= 63 && name.starts_with("kakehi-") && !name.contains('.') && !name.ends_with('-'), "{name}");
        }
        assert_eq!(object(&edge("web")), "kakehi-web");
    }

    #[test]
    fn the_user_s_labels_do_not_take_ours() {
        let edge = edge(&"y".repeat(200));
        let of_user = BTreeMap::from([(super::EDGE.to_owned(), "other".to_owned()), ("team".to_owned(), "red".to_owned())]);
        let all = labels(&edge, &of_user);
        assert_eq!(all["team"], "red");
        assert!(selector(&edge).iter().all(|(key, value)| all[key] == *value) && !selector(&edge).contains_key("team"));
        assert!(all.values().all(|value| value.len() <= 63));
        let annotations = annotations(&edge, "example.com/one", &BTreeMap::new());
        assert_eq!(edge_of(&annotations, "example.com/one"), Some(edge));
        assert_eq!(edge_of(&annotations, "example.com/other"), None);
    }
}
