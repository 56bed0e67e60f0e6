//! ReferenceGrants: who may refer across namespaces.

use std::collections::HashMap;

use super::facts::{Body, Fact, GrantFacts, ObjectRef};
use super::reader::Reader;
use crate::report::RouteKind;

/// Who refers: kind and namespace.
pub(super) struct Referrer<'a> {
    pub(super) kind: &'a RouteKind,
    pub(super) namespace: &'a str,
}

/// What all ReferenceGrants permit, so that a reference costs the same however many there are.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// Per namespace the permissions, with the number of grants that give them.
    permitted: HashMap<String, HashMap<Permission, usize>>,
}

/// Who may refer to what, as a hash: a grant of 16 sources and 16 targets gives 256 of them.
type Permission = [u8; 16];

/// That who is `(group, kind, namespace)` may refer to what is of this group and kind, by one name or by any.
fn permission(from: (&str, &str, &str), (group, kind, name): (&str, &str, Option<&str>)) -> Permission {
    let mut hasher = blake3::Hasher::new();
    for part in [from.0, from.1, from.2, group, kind, name.unwrap_or_default()] {
        hasher.update(&part.len().to_le_bytes()).update(part.as_bytes());
    }
    let mut permission = Permission::default();
    hasher.finalize_xof().fill(&mut permission);
    permission
}

impl Grants {
    /// Takes a changed grant of a namespace in.
    pub(super) fn apply(&mut self, namespace: &str, old: Option<&Fact>, new: Option<&Fact>) {
        let grant = |fact: Option<&Fact>| match fact.map(|fact| &fact.body) {
            Some(Body::Grant(grant)) => permissions(grant),
            _ => Vec::new(),
        };
        let permitted = self.permitted.entry(namespace.to_owned()).or_default();
        for permission in grant(new) {
            *permitted.entry(permission).or_default() += 1;
        }
        for permission in grant(old) {
            if let Some(count) = permitted.get_mut(&permission) {
                *count -= 1;
                if *count == 0 {
                    permitted.remove(&permission);
                }
            }
        }
        if permitted.is_empty() {
            self.permitted.remove(namespace);
        }
    }

    fn permit(&self, from: &Referrer<'_>, to: &ObjectRef, namespace: &str) -> bool {
        let Some(permitted) = self.permitted.get(namespace) else { return false };
        let from = (from.kind.group.as_str(), from.kind.kind.as_str(), from.namespace);
        let may = |name| permitted.contains_key(&permission(from, (&to.group, &to.kind, name)));
        may(None) || may(Some(to.name.as_str()))
    }

    /// Whether nothing is permitted.
    pub(super) fn is_empty(&self) -> bool {
        self.permitted.is_empty()
    }
}

/// Each of a grant's sources with each of its targets; the definition of the kind bounds both to 16.
fn permissions(grant: &GrantFacts) -> Vec<Permission> {
    let each = |(group, kind, namespace): &(String, String, String)| {
        let to = grant.to.iter();
        to.map(|(of, what, name)| permission((group, kind, namespace), (of, what, name.as_deref()))).collect::<Vec<_>>()
    };
    grant.from.iter().flat_map(each).collect()
}

/// Whether `from` may refer to the object `to` in `namespace`. Within one namespace it always may.
pub(super) fn permits(reader: &mut Reader<'_>, from: &Referrer<'_>, to: &ObjectRef, namespace: &str) -> bool {
    from.namespace == namespace || reader.grants(namespace).permit(from, to, namespace)
}
