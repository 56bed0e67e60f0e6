//! What no Ingress of a class takes: a Service that the operator's settings name, else 404.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::translate::{forward, referrer};
use crate::model::{Attachment, EdgeId, Hostname, ObjectId, Route, Rule};
use crate::report::{Finding, ObjectReport, Scope, Verdict};
use crate::snapshot::Resource;
use crate::translate::reader::Reader;
use crate::translate::routes::{Demand, RouteOutcome, Share, backends_of};

/// The route of an IngressClass of ours; none when nothing is set.
pub(crate) fn fallback(reader: &mut Reader<'_>, id: &ObjectId) -> Option<RouteOutcome> {
    let backend = reader.settings().ingress.default_backend.clone()?;
    let edge = EdgeId::of_class(&id.name);
    let points = reader.listeners(&edge)?;
    let generation = reader.fact(id)?.meta.generation;
    let (action, issues) = forward(reader, &referrer(&backend.namespace), &backend.service, backend.port.into());
    let rule = Rule::for_every_path(Hostname::Any, action, true);
    let backends: BTreeSet<_> = backends_of(&rule).cloned().collect();
    let every_host = || vec![(Hostname::Any, Hostname::Any)];
    let serving = points.values().flatten().filter(|point| point.serving);
    let attachments: Vec<_> = serving.map(|point| Attachment { listener: point.name.clone(), hostnames: every_host() }).collect();
    let served = !attachments.is_empty();
    // Younger than every Ingress: whatever their default backends take is theirs.
    let route = Route { id: id.clone(), created: i64::MAX, file: None, attachments, rules: vec![rule], written: Vec::new() };
    let share = Share {
        attached: BTreeSet::new(),
        backends: if served { backends } else { BTreeSet::new() },
        route: served.then(|| Arc::new(Resource::Route(route))),
        certificates: BTreeMap::new(),
    };
    let finding = |issue| Finding { object: id.clone(), scope: Scope::Field("--default-backend".to_owned()), issue };
    let findings = issues.into_iter().map(finding).collect();
    let report = Arc::new(ObjectReport { id: id.clone(), generation, findings, verdict: Verdict::None });
    Some(RouteOutcome { report, shares: Arc::new(BTreeMap::from([(edge, share)])), demand: Demand::default() })
}
