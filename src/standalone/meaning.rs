//! What a directory means, without serving it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{Error, source_settings, translation_settings};
use crate::api::{Change, Object};
use crate::model::EdgeId;
use crate::report::{ConditionType, ObjectReport, Observed, status};
use crate::settings::DirectorySettings;
use crate::store::directory::Directory;
use crate::store::{Refusal, Severity};
use crate::translate::{Edge, Now, Translator};

/// Everything that follows from a directory.
pub struct Meaning {
    /// Edges with their snapshots.
    pub edges: BTreeMap<EdgeId, Edge>,
    /// Objects whose status is ours, with that status, as nothing had been acknowledged yet.
    pub statuses: Vec<Value>,
    /// What was decided about each object.
    pub reports: Vec<Arc<ObjectReport>>,
    /// Manifests that were refused.
    pub refusals: Vec<Refusal>,
}

impl Meaning {
    /// Whether a manifest was refused, or an object not accepted.
    pub fn refused(&self) -> bool {
        let mut findings = self.reports.iter().flat_map(|report| &report.findings).map(|finding| finding.issue.effect());
        let rejected = findings.any(|effect| effect.condition == ConditionType::Accepted && !effect.is_good());
        rejected || self.refusals.iter().any(|refusal| refusal.severity == Severity::Error)
    }
}

/// Reads and translates a directory. `now` is in seconds since the Unix epoch.
///
/// # Errors
/// When the directory cannot be read.
pub fn translate(path: &Path, settings: &DirectorySettings, now: i64) -> Result<Meaning, Error> {
    let loaded = Directory::open(source_settings(path, settings))?.load()?;
    let mut translator = Translator::new(translation_settings(settings)?);
    let changes = loaded.objects.iter().map(|object| Change { id: object.id(), old: None, new: Some(object.clone()) });
    translator.apply(changes, Now::from_unix(now));
    let observed = Observed { controller_name: &settings.controller_name, edges: &BTreeMap::new(), provisioned: None, now, bundle: None };
    let mut statuses = Vec::new();
    for object in &loaded.objects {
        let report = translator.reports().get(&object.id()).map(AsRef::as_ref);
        if let Some(status) = status(object.kind(), report, None, &observed) {
            statuses.push(with_status(object, &status)?);
        }
    }
    Ok(Meaning {
        edges: translator.edges().map(|(id, edge)| (id.clone(), edge.clone())).collect(),
        statuses,
        reports: translator.reports().values().cloned().collect(),
        refusals: loaded.refusals,
    })
}

/// An object as a manifest, with this status.
pub(super) fn with_status(object: &Object, status: &Value) -> Result<Value, serde_json::Error> {
    let mut value = object.to_value()?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("status".into(), status.clone());
    }
    Ok(value)
}
