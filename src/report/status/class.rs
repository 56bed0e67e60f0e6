//! Status of a GatewayClass.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::bundle::Bundle;
use crate::report::condition::{Condition, ConditionType, Stamp, derive, merge};
use crate::report::{ObjectReport, Scope};

const SUPPORTED_VERSION: &str = "SupportedVersion";

/// `experimental` features are claimed where the definitions have their fields: where they do not, the API server drops these.
pub(super) fn status(
    report: &ObjectReport,
    (features, experimental): (&[&str], &[&str]),
    (previous, bundle): (Option<&Value>, Option<&Bundle>),
    stamp: &Stamp<'_>,
) -> Value {
    let healthy = Condition::new("Accepted", true, "Accepted", "Gateways of this class are served");
    let accepted = derive(report.findings_of(&Scope::Object), ConditionType::Accepted, healthy);
    let conditions: Vec<_> = std::iter::once(accepted).chain(bundle.map(supported_version)).collect();
    let experimental = experimental.iter().filter(|_| bundle.is_some_and(Bundle::is_experimental));
    let features: BTreeSet<_> = features.iter().chain(experimental).collect();
    let features: Vec<_> = features.iter().map(|name| json!({"name": name})).collect();
    json!({
        "conditions": merge(previous.and_then(|status| status.get("conditions")), &conditions, &["Accepted", SUPPORTED_VERSION], stamp),
        "supportedFeatures": features,
    })
}

/// Definitions of another release serve as far as they are understood (`GatewayClassConditionStatusSupportedVersion`).
fn supported_version(bundle: &Bundle) -> Condition {
    let (version, channel) = (bundle.version(), bundle.channel());
    if bundle.is_supported() {
        let message = format!("Gateway API {version}, channel {channel}");
        return Condition::new(SUPPORTED_VERSION, true, SUPPORTED_VERSION, message);
    }
    let message = format!("Gateway API {version}, channel {channel}: served as far as v1.6 is like it");
    Condition::new(SUPPORTED_VERSION, false, "UnsupportedVersion", message)
}
