//! What each problem means for conditions.

use super::{Issue, Limit, Lost};
use crate::report::ConditionType::{Accepted, Conflicted, PartiallyInvalid, Programmed, ResolvedRefs};
use crate::report::{Effect, Severity};

/// Reason of parameters that cannot be used, of a class or its Gateways.
const PARAMETERS: &str = "InvalidParameters";
/// Reason of endpoints that get no requests.
const UNUSED: &str = "EndpointNotUsed";
/// Reason of everything that is beyond a limit of tenants.
const LIMIT: &str = "LimitExceeded";

impl Issue {
    /// Which condition shows this, with which status and reason. Reasons are those of Gateway API where it has one.
    pub fn effect(&self) -> Effect {
        let (condition, status, reason) = match self {
            Self::UnknownField { .. } => (Accepted, true, "UnknownField"),
            Self::UnsupportedField { .. } => (Accepted, true, "UnsupportedField"),
            Self::DuplicateName { .. } => (Accepted, true, "DuplicateName"),
            Self::OwnLabel { .. } | Self::ParameterOfClass { .. } => (Accepted, true, "NoEffect"),
            Self::SetNotAllowed { .. } => (Accepted, false, "NotAllowed"),
            Self::HostTaken { .. } => (Accepted, false, "HostTaken"),
            Self::PathTaken { .. } | Self::DefaultBackendTaken { .. } => (PartiallyInvalid, true, "PathTaken"),
            Self::CertificateTaken { .. } => (ResolvedRefs, false, "CertificateTaken"),
            Self::HostWithoutRule { .. } => (Accepted, true, "HostWithoutRule"),
            Self::SeveralDefaultClasses { .. } => (Accepted, true, "SeveralDefaultClasses"),
            Self::ProfileNotUsable { .. } | Self::InvalidParameters { .. } | Self::ClassNotAccepted { .. } => (Accepted, false, PARAMETERS),
            Self::UnsupportedAddress { .. } => (Accepted, false, "UnsupportedAddress"),
            Self::InvalidAddress { .. } | Self::AddressTaken { .. } => (Programmed, false, "AddressNotUsable"),
            Self::UnsupportedProtocol { .. } => (Accepted, false, "UnsupportedProtocol"),
            Self::PortUnavailable { .. } | Self::PortReserved { .. } => (Accepted, false, "PortUnavailable"),
            Self::Malformed { .. }
            | Self::DuplicateListener { .. }
            | Self::InvalidHostname { .. }
            | Self::InvalidSelector { .. }
            | Self::UnsupportedTlsMode { .. }
            | Self::UnsupportedClientValidation
            | Self::UnsupportedAddressType { .. } => (Accepted, false, "UnsupportedValue"),
            Self::ProtocolConflict { .. } => (Conflicted, true, "ProtocolConflict"),
            Self::HostnameConflict { .. } => (Conflicted, true, "HostnameConflict"),
            Self::InvalidRouteKind { .. } => (ResolvedRefs, false, "InvalidRouteKinds"),
            Self::NoCertificateRef | Self::InvalidCertificateRef { .. } => (ResolvedRefs, false, "InvalidCertificateRef"),
            Self::NoCertificate | Self::ListenerNotServing { .. } => (Programmed, false, "Invalid"),
            Self::CertificateRefused { .. } | Self::Refused { .. } => (Programmed, false, "Invalid"),
            Self::CertificateNotPermitted { .. } | Self::BackendNotPermitted { .. } => (ResolvedRefs, false, "RefNotPermitted"),
            Self::Lost(lost) => return lost.effect(),
            Self::Limit(limit) => return limit.effect(),
            Self::NoMatchingParent => (Accepted, false, "NoMatchingParent"),
            Self::NotAllowedByListeners => (Accepted, false, "NotAllowedByListeners"),
            Self::NoMatchingListenerHostname => (Accepted, false, "NoMatchingListenerHostname"),
            Self::IncompatibleFilters { .. } => (PartiallyInvalid, true, "IncompatibleFilters"),
            Self::UnsupportedFilter { .. }
            | Self::InvalidValue { .. }
            | Self::EmptyFilter { .. }
            | Self::InvalidHeaderName { .. }
            | Self::ForbiddenHeader { .. }
            | Self::InvalidHeaderValue { .. }
            | Self::InvalidPattern { .. }
            | Self::InvalidPath { .. } => (PartiallyInvalid, true, "UnsupportedValue"),
            Self::BackendNotFound { .. } | Self::BackendPortNotFound { .. } | Self::BackendPortMissing { .. } => {
                (ResolvedRefs, false, "BackendNotFound")
            }
            Self::InvalidBackendKind { .. } => (ResolvedRefs, false, "InvalidKind"),
            Self::UnsupportedBackendProtocol { .. } => (ResolvedRefs, false, "UnsupportedProtocol"),
            Self::ExternalName { .. } => (ResolvedRefs, false, "UnsupportedValue"),
            Self::ClusterName { .. } => (ResolvedRefs, false, "RefNotPermitted"),
            Self::CertificateExpired { .. } => (ResolvedRefs, true, "CertificateExpired"),
            Self::CertificateNotYetValid { .. } => (ResolvedRefs, true, "CertificateNotYetValid"),
            Self::CertificateNameMismatch { .. } => (ResolvedRefs, true, "CertificateNameMismatch"),
            Self::NameNotResolved { .. } => (ResolvedRefs, true, "NameNotResolved"),
            Self::UnknownAppProtocol { .. } => (ResolvedRefs, true, "UnknownAppProtocol"),
            Self::NoEndpoints { .. } => (ResolvedRefs, true, "NoEndpoints"),
            Self::EndpointPortMissing { .. } | Self::EndpointRefused { .. } | Self::InvalidEndpoint { .. } => (ResolvedRefs, true, UNUSED),
        };
        Effect { condition, status, reason }
    }

    /// How bad it is: an error when a condition turns, else a warning.
    pub fn severity(&self) -> Severity {
        if self.effect().is_good() { Severity::Warning } else { Severity::Error }
    }
}

impl Limit {
    /// Which condition shows this, with which status.
    fn effect(&self) -> Effect {
        let (condition, status) = match self {
            Self::TooManyPlaces { .. } | Self::TooManyEntries { .. } | Self::EntryBudget { .. } | Self::HostBudget { .. } => {
                (Accepted, false)
            }
            Self::TooManyExpressions { .. }
            | Self::ExpressionsNotJudged
            | Self::ExpressionBudget { .. }
            | Self::CostlyExpressions { .. } => (PartiallyInvalid, true),
            Self::TooManyTlsHosts { .. } | Self::TooManyPorts { .. } => (ResolvedRefs, false),
        };
        Effect { condition, status, reason: LIMIT }
    }
}

impl Lost {
    /// Which condition would show this, with which status; most such objects have no status of ours.
    fn effect(&self) -> Effect {
        let (condition, status, reason) = match self {
            Self::NoSuchObject { .. } => (Accepted, false, "NotFound"),
            Self::NoParent { .. } => (Accepted, false, "NoParent"),
            Self::NoClass { .. } => (Accepted, false, "NoClass"),
            Self::OtherController { .. } => (Accepted, true, "OtherController"),
            Self::UnsupportedParent { .. } => (Accepted, true, "UnsupportedParent"),
            Self::ForeignAnnotations { .. } => (Accepted, true, "ForeignAnnotations"),
            Self::NoServiceLabel { .. } => (ResolvedRefs, true, "NoServiceLabel"),
        };
        Effect { condition, status, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::{Issue, Lost};
    use crate::model::BackendId;
    use crate::report::ConditionType::{Accepted, Conflicted, PartiallyInvalid, Programmed, ResolvedRefs};

    /// A log line or an Event whose reason is the name of a condition says nothing.
    #[test]
    fn no_reason_is_the_name_of_a_condition() {
        let production = include_str!("effect.rs").split("#[cfg(test)]").next().unwrap();
        for condition in [Accepted, ResolvedRefs, Programmed, Conflicted, PartiallyInvalid] {
            assert!(!production.contains(&format!("\"{condition:?}\"")), "{condition:?} is a reason");
        }
        let backend = BackendId { namespace: "shop".into(), service: "empty".into(), port: 80 };
        assert_eq!(Issue::NoEndpoints { backend }.effect().reason, "NoEndpoints");
        assert_eq!(Issue::from(Lost::NoParent { known: Vec::new(), others: 0 }).effect().reason, "NoParent");
    }
}
