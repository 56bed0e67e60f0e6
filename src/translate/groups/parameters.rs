//! Parameters of GatewayClasses, Gateways and IngressClasses: EdgeProfiles.

use std::sync::Arc;

use crate::api::EdgeProfileSpec;
use crate::model::{EdgeId, Kind, ObjectId};
use crate::report::{Issue, ProfileProblem};
use crate::translate::facts::{Body, GatewayFacts, ObjectRef};
use crate::translate::reader::Reader;

const GROUP: &str = "kakehi.dev";

/// A GatewayClass of ours with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JudgedClass {
    /// What its Gateways begin with.
    profile: Arc<EdgeProfileSpec>,
    pub(crate) issues: Vec<Issue>,
}

/// Judges a GatewayClass; none when it does not exist, cannot be read, or is not ours.
pub(crate) fn class(reader: &mut Reader<'_>, name: &str) -> Option<JudgedClass> {
    let Body::Class(class) = reader.fact(&ObjectId::new(Kind::GatewayClass, "", name))?.body.clone() else { return None };
    if class.controller_name != reader.settings().controller_name {
        return None;
    }
    let resolved = class.parameters.as_ref().map(|of| resolve(reader, of, of.namespace.as_deref()));
    let (profile, issues) = match resolved {
        None => (Arc::default(), Vec::new()),
        Some(Ok(profile)) => (profile, Vec::new()),
        Some(Err(issue)) => (Arc::default(), vec![issue]),
    };
    Some(JudgedClass { profile, issues })
}

/// The parameters of a Gateway, over those of its class.
pub(super) fn of_gateway(
    reader: &mut Reader<'_>,
    edge: &EdgeId,
    gateway: &GatewayFacts,
    class: &JudgedClass,
) -> (Arc<EdgeProfileSpec>, Vec<Issue>) {
    let mut issues = Vec::new();
    if !class.issues.is_empty() {
        issues.push(Issue::ClassNotAccepted { class: gateway.class.clone() });
    }
    let profile = match gateway.parameters.as_ref().map(|of| resolve(reader, of, Some(&edge.namespace))) {
        None => class.profile.clone(),
        Some(Ok(own)) => Arc::new(EdgeProfileSpec::clone(&own).over(&class.profile)),
        Some(Err(issue)) => {
            issues.push(issue);
            class.profile.clone()
        }
    };
    (profile, issues)
}

/// The EdgeProfile that a reference leads to, in this namespace.
pub(crate) fn resolve(reader: &mut Reader<'_>, of: &ObjectRef, namespace: Option<&str>) -> Result<Arc<EdgeProfileSpec>, Issue> {
    if of.group != GROUP || of.kind != Kind::EdgeProfile.name() {
        return Err(Issue::InvalidParameters { group: of.group.clone(), kind: of.kind.clone(), name: of.name.clone() });
    }
    let problem = match namespace {
        None => ProfileProblem::NoNamespace,
        Some(namespace) => match reader.profile(namespace, &of.name) {
            Some(Ok(profile)) => return Ok(profile),
            Some(Err(())) => ProfileProblem::Unreadable,
            None => ProfileProblem::NotFound,
        },
    };
    Err(Issue::ProfileNotUsable { namespace: namespace.unwrap_or_default().to_owned(), name: of.name.clone(), problem })
}
