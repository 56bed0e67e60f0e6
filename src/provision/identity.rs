//! Which objects of a cluster are those of an edge: never by a label, an annotation or a name alone.
//!
//! An object is the edge's own when it is in the namespace and under the name that the edge's objects have, says by its
//! annotations which edge it is of, and is controlled by the edge's Gateway or IngressClass: by its uid, which nobody chooses. In
//! the operator's namespace, where a Gateway of another one cannot own it and tenants write nothing, an annotation has that uid.

use kube::api::ObjectMeta;

use super::{EdgeSpec, Installation, names};
use crate::model::{EdgeId, Kind};

/// An object that is where an edge's objects are, and says of which edge it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The edge that it names.
    pub edge: EdgeId,
    /// Uid of the Gateway or IngressClass that it was made for; none when it does not say.
    pub uid: Option<String>,
}

impl Claimed {
    /// Whether it was made for this very Gateway or IngressClass, and not for an earlier one of its name.
    pub fn is_of(&self, uid: &str) -> bool {
        !uid.is_empty() && self.uid.as_deref() == Some(uid)
    }
}

/// API version and kind of what owns an edge's objects.
pub(super) fn owner_kind(edge: &EdgeId) -> (&'static str, Kind) {
    match edge.kind() {
        Kind::IngressClass => ("networking.k8s.io/v1", Kind::IngressClass),
        _ => ("gateway.networking.k8s.io/v1", Kind::Gateway),
    }
}

/// The uid of the Gateway or IngressClass that controls an object.
fn owner_uid(edge: &EdgeId, metadata: &ObjectMeta) -> Option<String> {
    let (api_version, kind) = owner_kind(edge);
    let group = |version: &str| version.split_once('/').map(|(group, _)| group.to_owned());
    let owner = metadata.owner_references.iter().flatten().find(|owner| {
        owner.controller == Some(true)
            && owner.kind == kind.name()
            && group(&owner.api_version) == group(api_version)
            && owner.name == edge.name
    });
    owner.map(|owner| owner.uid.clone())
}

impl Installation {
    /// The edge that an object claims to be of, when it is where that edge's objects are.
    pub fn claimed(&self, metadata: &ObjectMeta) -> Option<Claimed> {
        let edge = names::edge_of(metadata.annotations.as_ref()?, &self.controller)?;
        let (namespace, name) = (metadata.namespace.as_deref()?, metadata.name.as_deref()?);
        if namespace != self.namespace_of(&edge) || name != self.name_of(&edge) {
            return None;
        }
        if !self.is_owned(&edge) {
            return Some(Claimed { uid: names::uid_of(metadata.annotations.as_ref()?).cloned(), edge });
        }
        Some(Claimed { uid: owner_uid(&edge, metadata), edge })
    }

    /// Where a version of Kakehi before this one made the objects of an edge, if elsewhere: in which namespace, under which name.
    pub fn former_place(&self, edge: &EdgeId) -> Option<(String, String)> {
        let namespace = if edge.kind() == Kind::IngressClass { &self.namespace } else { &edge.namespace };
        let former = (namespace.clone(), names::former(edge));
        (former.0 != self.namespace_of(edge) || former.1 != self.name_of(edge)).then_some(former)
    }

    /// Whether an object there was made for this very Gateway or IngressClass.
    pub fn made_before(&self, edge: &EdgeSpec, metadata: &ObjectMeta) -> bool {
        let said = metadata.annotations.as_ref().and_then(|annotations| names::edge_of(annotations, &self.controller));
        said.as_ref() == Some(&edge.id) && owner_uid(&edge.id, metadata).as_deref() == Some(edge.uid.as_str())
    }

    /// Whether an object is one of this edge as it is to be made.
    pub fn owns(&self, edge: &EdgeSpec, metadata: &ObjectMeta) -> bool {
        self.claimed(metadata).is_some_and(|claimed| claimed.edge == edge.id && claimed.is_of(&edge.uid))
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;
    use serde_json::{Value, json};

    use super::{Claimed, Installation};
    use crate::model::EdgeId;
    use crate::provision::{Place, names};

    const CONTROLLER: &str = "example.com/test";

    fn installation() -> Installation {
        Installation { controller: CONTROLLER.into(), namespace: "kakehi-system".into(), ..Default::default() }
    }

    fn metadata((namespace, name): (&str, &str), edge: &EdgeId, owner: Value) -> ObjectMeta {
        let annotations = names::annotations(edge, CONTROLLER, &Default::default());
        let owners = if owner.is_null() { json!([]) } else { json!([owner]) };
        serde_json::from_value(json!({
            "namespace": namespace, "name": name, "annotations": annotations, "ownerReferences": owners,
            "labels": names::selector(name),
        }))
        .unwrap()
    }

    fn gateway(uid: &str) -> Value {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": "web", "uid": uid, "controller": true})
    }

    #[test]
    fn what_is_elsewhere_or_called_otherwise_is_nothing_of_the_edge() {
        let (edge, installation) = (EdgeId::of_gateway("victim", "web"), installation());
        let at = |place| installation.claimed(&metadata(place, &edge, gateway("u-1")));
        assert_eq!(at(("victim", "kakehi-web")), Some(Claimed { edge: edge.clone(), uid: Some("u-1".into()) }));
        for place in [("attacker", "kakehi-web"), ("victim", "other"), ("kakehi-system", "kakehi-web")] {
            assert_eq!(at(place), None, "{place:?}");
        }
        let class = EdgeId::of_class("x");
        let at = |place| installation.claimed(&metadata(place, &class, Value::Null));
        assert_eq!(at(("kakehi-system", "kakehi-ingress-x")), Some(Claimed { edge: class.clone(), uid: None }));
        assert_eq!(at(("attacker", "kakehi-ingress-x")), None);
    }

    #[test]
    fn in_the_operator_s_namespace_the_recorded_uid_counts() {
        let (edge, installation) = (EdgeId::of_gateway("victim", "web"), Installation { place: Place::Operator, ..installation() });
        let name = installation.name_of(&edge);
        let with_uid = |place, uid: &str| {
            let mut metadata = metadata(place, &edge, gateway("u-1"));
            metadata.annotations.as_mut().unwrap().extend([names::uid(uid)]);
            installation.claimed(&metadata)
        };
        assert!(with_uid(("kakehi-system", &name), "u-1").unwrap().is_of("u-1"));
        assert!(!with_uid(("kakehi-system", &name), "u-2").unwrap().is_of("u-1"), "an owner of another namespace is none");
        for place in [("victim", name.as_str()), ("victim", "kakehi-web"), ("attacker", &name), ("kakehi-system", "kakehi-web")] {
            assert_eq!(with_uid(place, "u-1"), None, "{place:?}");
        }
    }

    #[test]
    fn only_the_controller_s_uid_counts() {
        let (edge, installation) = (EdgeId::of_gateway("victim", "web"), installation());
        let is_of = |owner| installation.claimed(&metadata(("victim", "kakehi-web"), &edge, owner)).unwrap().is_of("u-1");
        assert!(is_of(gateway("u-1")));
        let mut beta = gateway("u-1");
        beta["apiVersion"] = json!("gateway.networking.k8s.io/v1beta1");
        assert!(is_of(beta), "another version of the same group");
        assert!(!is_of(gateway("u-2")) && !is_of(Value::Null));
        for (field, value) in
            [("controller", json!(false)), ("kind", json!("Service")), ("name", json!("other")), ("apiVersion", json!("v1"))]
        {
            let mut owner = gateway("u-1");
            owner[field] = value;
            assert!(!is_of(owner), "{field}");
        }
        let nameless = Claimed { edge, uid: Some(String::new()) };
        assert!(!nameless.is_of(""), "no uid is nobody's");
    }
}
