//! Status of a GatewayClass.

use serde_json::{Value, json};

use crate::report::condition::{Condition, ConditionType, Stamp, derive, merge};
use crate::report::{ObjectReport, Scope};

pub(super) fn status(report: &ObjectReport, features: &[&str], previous: Option<&Value>, stamp: &Stamp<'_>) -> Value {
    let accepted = derive(report.findings_of(&Scope::Object), ConditionType::Accepted, Condition::new("Accepted", true, "Accepted", ""));
    let features: Vec<_> = features.iter().map(|name| json!({"name": name})).collect();
    json!({
        "conditions": merge(previous.and_then(|status| status.get("conditions")), &[accepted], &["Accepted"], stamp),
        "supportedFeatures": features,
    })
}
