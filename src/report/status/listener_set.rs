//! Status of a ListenerSet.

use serde_json::{Value, json};

use super::listeners::{OURS, Rendering};
use crate::report::condition::{Condition, merge};

pub(super) fn status(of: &Rendering<'_>, parent_accepted: bool) -> Value {
    let accepted = match parent_accepted {
        true => of.accepted(),
        false => Condition::new("Accepted", false, "ParentNotAccepted", "the Gateway is not accepted"),
    };
    let programmed = match accepted.status {
        true => of.programmed(&accepted, None, &[]),
        // Both conditions of a refused set carry one reason (`ListenerSetReasonNotAllowed`, `ListenersNotValid`).
        false => Condition { name: "Programmed", ..accepted.clone() },
    };
    let listeners: Vec<_> = of.listeners.iter().map(|listener| of.listener(listener, accepted.status)).collect();
    let written = of.previous.and_then(|status| status.get("conditions"));
    json!({
        "conditions": merge(written, &[accepted, programmed], OURS, &of.stamp),
        "listeners": listeners,
    })
}
