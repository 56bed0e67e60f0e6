//! What a directory means, without serving it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::check::Objects;
use super::{Error, source_settings, translation_settings};
use crate::api::{Change, Object};
use crate::controller::view::declared_report;
use crate::model::{EdgeId, ObjectId};
use crate::report::{self, ObjectReport, Observed, status, without_times};
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
    /// Where each object is defined: file, relative to the directory, and line.
    pub places: BTreeMap<ObjectId, (String, usize)>,
    /// Objects of which something is reported.
    pub(super) objects: Objects,
}

impl Meaning {
    /// What was decided about each object, as the admin page `/debug/report` of a running instance has it.
    pub fn reports_page(&self) -> Value {
        let view = |report: &Arc<ObjectReport>| declared_report(report, &[], || self.objects.get(&report.id).cloned());
        json!({"objects": self.reports.iter().map(view).collect::<Vec<_>>()})
    }

    /// Whether a manifest was refused, or something of an object is not served.
    pub fn refused(&self) -> bool {
        let unserved = self.reports.iter().any(|report| report.severity() == Some(report::Severity::Error));
        unserved || self.refusals.iter().any(|refusal| refusal.severity == Severity::Error)
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
    let mut objects = Objects::new();
    for object in &loaded.objects {
        let report = translator.reports().get(&object.id()).map(AsRef::as_ref);
        if let Some(status) = status(object.kind(), report, None, &observed) {
            statuses.push(without_times(with_status(object, &status)?));
        }
        if report.is_some_and(|report| !report.findings.is_empty()) {
            objects.insert(object.id(), object.to_value()?);
        }
    }
    Ok(Meaning {
        edges: translator.edges().map(|(id, edge)| (id.clone(), edge.clone())).collect(),
        statuses,
        reports: translator.reports().values().cloned().collect(),
        refusals: loaded.refusals,
        places: loaded.places,
        objects,
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
