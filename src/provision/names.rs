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
/// Annotation with the uid of the Gateway, of objects in another namespace than its own.
const UID: &str = "kakehi.dev/edge-uid";
/// Annotation of a Deployment: the hash of its pod template. Another one means other pods.
const TEMPLATE: &str = "kakehi.dev/pod-template";
/// Label with the Gateway's name (GEP-1762).
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// Longest name of a Service, and longest value of a label.
const LONGEST: usize = 63;
const PREFIX: &str = "kakehi-";
const CLASS_PREFIX: &str = "kakehi-ingress-";
/// What makes the name of a Gateway's edge look like that of a class's.
const LIKE_CLASS: &str = "ingress-";
/// Hexadecimal digits of a hash in a name.
const HASH: usize = 10;
/// The same where tenants choose names for one namespace: none of them finds another's.
const LONG_HASH: usize = 20;

/// Name of the objects of a Gateway's edge in its own namespace, a valid name for a Service. Gateways may have names that are
/// not: longer than 63 characters, or with dots. `beside_classes`: the edges of IngressClasses are in that namespace too.
pub(super) fn of_gateway(name: &str, beside_classes: bool) -> String {
    let plain = !(beside_classes && name.starts_with(LIKE_CLASS));
    named(PREFIX, name, plain)
}

/// Name of the objects of an IngressClass's edge.
pub(super) fn of_class(name: &str) -> String {
    named(CLASS_PREFIX, name, true)
}

/// Name of the objects of a Gateway's edge among those of all namespaces.
pub(super) fn with_namespace(edge: &EdgeId) -> String {
    let hash = hash(&edge.to_string(), LONG_HASH);
    let head = head(&format!("{}-{}", edge.namespace, edge.name), LONGEST - PREFIX.len() - LONG_HASH - 1);
    format!("{PREFIX}{}-{hash}", head.replace('.', "-"))
}

/// The name that a version before gave to an edge's objects, in its own namespace.
pub(super) fn former(edge: &EdgeId) -> String {
    let prefix = if edge.kind() == Kind::IngressClass { CLASS_PREFIX } else { PREFIX };
    let whole = format!("{prefix}{}", edge.name);
    match whole.len() <= LONGEST && !whole.contains('.') {
        true => whole,
        false => format!("{prefix}{}", shortened(&edge.name, LONGEST - prefix.len()).replace('.', "-")),
    }
}

/// The name after the prefix where that is a valid name that no other one can be shortened to; else one with a hash.
fn named(prefix: &str, name: &str, plain: bool) -> String {
    let whole = format!("{prefix}{name}");
    if plain && whole.len() <= LONGEST && !name.contains('.') && !is_hashed(name) {
        return whole;
    }
    format!("{prefix}{}", shortened(name, LONGEST - prefix.len()).replace('.', "-"))
}

/// Whether a name ends as one with a hash does.
fn is_hashed(name: &str) -> bool {
    let last = name.rsplit_once('-').map(|(_, last)| last);
    let is_hash =
        |last: &str| [HASH, LONG_HASH].contains(&last.len()) && last.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    last.is_some_and(is_hash)
}

/// The first characters of a name with a hash of all of it, at most `longest` characters.
fn shortened(name: &str, longest: usize) -> String {
    format!("{}-{}", head(name, longest - HASH - 1), hash(name, HASH))
}

fn hash(text: &str, digits: usize) -> String {
    blake3::hash(text.as_bytes()).to_hex().chars().take(digits).collect()
}

/// The first characters of a name, so that something can follow.
fn head(name: &str, longest: usize) -> String {
    let head: String = name.chars().take(longest).collect();
    head.trim_end_matches(['-', '.']).to_owned()
}

/// The labels that select the pods of the edge whose objects have this name.
pub(super) fn selector(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(EDGE.to_owned(), name.to_owned())])
}

/// The labels of everything that is made under this name for an edge: the user's, and ours over them.
pub(super) fn labels((edge, name): (&EdgeId, &str), of_user: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let gateway = if edge.name.len() <= LONGEST { edge.name.clone() } else { shortened(&edge.name, LONGEST) };
    let own = [
        ("app.kubernetes.io/name", "kakehi-edge".to_owned()),
        ("app.kubernetes.io/component", "edge".to_owned()),
        ("app.kubernetes.io/managed-by", "kakehi".to_owned()),
    ];
    let of_gateway = (edge.kind() == Kind::Gateway).then_some((GATEWAY_NAME, gateway));
    let own = own.into_iter().chain(of_gateway).map(|(key, value)| (key.to_owned(), value)).chain(selector(name));
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

/// The annotation with the uid of a Gateway that is in another namespace.
pub(super) fn uid(uid: &str) -> (String, String) {
    (UID.to_owned(), uid.to_owned())
}

/// What that annotation says.
pub(super) fn uid_of(annotations: &BTreeMap<String, String>) -> Option<&String> {
    annotations.get(UID)
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

    use super::{annotations, edge_of, hash, labels, selector};
    use crate::model::EdgeId;
    use crate::provision::{Installation, Place};

    fn edge(name: &str) -> EdgeId {
        EdgeId::of_gateway("shop", name)
    }

    fn installation(place: Place) -> Installation {
        Installation { namespace: "kakehi-system".into(), place, ..Default::default() }
    }

    fn is_service_name(name: &str) -> bool {
        name.len() <= 63 && name.starts_with("kakehi-") && !name.contains('.') && !name.ends_with('-')
    }

    #[test]
    fn every_gateway_s_name_becomes_a_service_s_name_of_its_own() {
        let long = "a.".repeat(126) + "b";
        let names = ["web", "0", "a.b", "a-b", &"x".repeat(56), &"x".repeat(57), &"x".repeat(253), &long, &(long.clone() + "c")];
        for place in [Place::Gateway, Place::Operator] {
            let installation = installation(place);
            let objects: BTreeSet<_> = names.iter().map(|name| installation.name_of(&edge(name))).collect();
            assert_eq!(objects.len(), names.len(), "{objects:?}");
            assert!(objects.iter().all(|name| is_service_name(name)), "{objects:?}");
        }
        assert_eq!(installation(Place::Gateway).name_of(&edge("web")), "kakehi-web");
    }

    /// Names that somebody chooses so that they become another edge's.
    #[test]
    fn nobody_chooses_the_name_of_another_s_objects() {
        let home = |name: &str| EdgeId::of_gateway("kakehi-system", name);
        let dotted = "a.b";
        let tail = |text: &str, digits| hash(text, digits);
        let attempts = [
            home("web"),
            home("ingress-x"),
            EdgeId::of_class("x"),
            EdgeId::of_class(dotted),
            home(dotted),
            home(&format!("a-b-{}", tail(dotted, 10))),
            home(&format!("ingress-x-{}", tail("ingress-x", 10))),
            EdgeId::of_class(format!("x-{}", tail("ingress-x", 10))),
            EdgeId::of_class(format!("a-b-{}", tail(dotted, 10))),
            EdgeId::of_class(format!("x-{}", tail("ingress/x", 20))),
            EdgeId::of_gateway("ingress", "x"),
            EdgeId::of_gateway("shop", "web-x"),
            EdgeId::of_gateway("shop-web", "x"),
            EdgeId::of_gateway("kakehi-system", format!("shop-web-x-{}", tail("shop/web-x", 20))),
        ];
        for place in [Place::Gateway, Place::Operator] {
            let installation = installation(place);
            let places: BTreeSet<_> =
                attempts.iter().map(|id| (installation.namespace_of(id).to_owned(), installation.name_of(id))).collect();
            assert_eq!(places.len(), attempts.len(), "{place:?}: {places:#?}");
            assert!(places.iter().all(|(_, name)| is_service_name(name)), "{places:#?}");
        }
    }

    #[test]
    fn the_user_s_labels_do_not_take_ours() {
        let edge = edge(&"y".repeat(200));
        let of_user = BTreeMap::from([(super::EDGE.to_owned(), "other".to_owned()), ("team".to_owned(), "red".to_owned())]);
        let all = labels((&edge, "kakehi-y"), &of_user);
        assert_eq!(all["team"], "red");
        let selector = selector("kakehi-y");
        assert!(selector.iter().all(|(key, value)| all[key] == *value) && !selector.contains_key("team"));
        assert!(all.values().all(|value| value.len() <= 63));
        // Users are told of all of these.
        let own: Vec<_> = all.keys().map(String::as_str).filter(|key| *key != "team").collect();
        assert_eq!(own, crate::model::OWN_LABELS);
        assert_eq!(
            BTreeSet::from_iter(crate::model::OWN_ANNOTATIONS.iter().copied()),
            [super::OWNER, super::CONTROLLER, super::UID, super::TEMPLATE].into()
        );
        let annotations = annotations(&edge, "example.com/one", &BTreeMap::new());
        assert_eq!(edge_of(&annotations, "example.com/one"), Some(edge));
        assert_eq!(edge_of(&annotations, "example.com/other"), None);
    }
}
