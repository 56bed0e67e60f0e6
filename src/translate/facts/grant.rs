//! ReferenceGrants.

use crate::api::ReferenceGrant;

/// A ReferenceGrant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrantFacts {
    /// (group, kind, namespace) that may refer.
    pub(crate) from: Vec<(String, String, String)>,
    /// (group, kind, name) that may be referred to; no name means all.
    pub(crate) to: Vec<(String, String, Option<String>)>,
}

impl GrantFacts {
    pub(super) fn read(grant: &ReferenceGrant) -> Self {
        let from = grant.spec.from.iter().map(|from| (from.group.clone(), from.kind.clone(), from.namespace.clone()));
        let to = grant.spec.to.iter().map(|to| (to.group.clone(), to.kind.clone(), to.name.clone().filter(|name| !name.is_empty())));
        Self { from: from.collect(), to: to.collect() }
    }
}
