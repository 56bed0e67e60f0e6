//! What is wrong with a directory of manifests, one problem after the other, each with file and line.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::Meaning;
use crate::model::ObjectId;
use crate::report::{self, Finding, Scope};
use crate::store::directory::{Located, Settings, field_of};
use crate::store::{Refusal, Severity};

/// One problem of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Path of the file.
    pub file: String,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// The object, as `Kind/namespace/name`; none when the file does not say which.
    pub object: Option<String>,
    /// Path of the field; none when the whole object is meant.
    pub field: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// What kind of problem it is, in one word.
    pub reason: &'static str,
    /// What is wrong.
    pub message: String,
}

/// Reason of everything that is refused as an API server would refuse it.
const REFUSED: &str = "Refused";

impl Problem {
    /// Everything that is wrong with a directory, by file and line.
    pub fn all(path: &Path, meaning: &Meaning) -> Vec<Self> {
        let mut lines = Located::new(path, Settings::FILE_LIMIT);
        let refused = meaning.refusals.iter().map(|refusal| Self::refused(path, refusal));
        let mut problems: Vec<_> = refused.collect();
        for report in &meaning.reports {
            let object = meaning.objects.get(&report.id);
            problems.extend(report.findings.iter().map(|finding| Self::found(path, finding, (meaning, object), &mut lines)));
        }
        problems.sort();
        problems.dedup();
        problems
    }

    fn refused(path: &Path, refusal: &Refusal) -> Self {
        let field = field_of(&refusal.message).filter(|_| refusal.object.is_some());
        let message = match field {
            Some(field) => refusal.message.get(field.len() + 2..).unwrap_or_default(),
            None => &refusal.message,
        };
        Self {
            file: joined(path, &refusal.file),
            line: refusal.line,
            object: refusal.object.as_ref().map(ToString::to_string),
            field: field.map(str::to_owned),
            severity: refusal.severity,
            reason: REFUSED,
            message: message.to_owned(),
        }
    }

    fn found(path: &Path, finding: &Finding, (meaning, object): (&Meaning, Option<&Value>), lines: &mut Located) -> Self {
        let field = field(&finding.scope, object);
        let place = meaning.places.get(&finding.object);
        let line = place.map(|(file, line)| match &field {
            Some(field) => lines.line((file, *line), field),
            None => *line,
        });
        Self {
            file: joined(path, place.map(|(file, _)| file.as_str()).unwrap_or_default()),
            line: line.unwrap_or_default(),
            object: Some(finding.object.to_string()),
            field,
            severity: match finding.issue.severity() {
                report::Severity::Error => Severity::Error,
                report::Severity::Warning => Severity::Warning,
            },
            reason: finding.issue.effect().reason,
            message: finding.issue.to_string(),
        }
    }
}

fn joined(path: &Path, file: &str) -> String {
    let file = file.trim_start_matches("./");
    if file.is_empty() { path.display().to_string() } else { path.join(file).display().to_string() }
}

/// The field that a finding is about, as a path in the object.
fn field(scope: &Scope, object: Option<&Value>) -> Option<String> {
    let index = |list: &str, is: &dyn Fn(&Value) -> bool| {
        let items = object.and_then(|object| object.get("spec")?.get(list)?.as_array());
        let index = items.and_then(|items| items.iter().position(is));
        Some(index.map_or_else(|| format!("spec.{list}"), |index| format!("spec.{list}[{index}]")))
    };
    match scope {
        Scope::Object => None,
        Scope::Field(path) => Some(path.clone()),
        Scope::Rule { rule, backend: None } => Some(format!("spec.rules[{rule}]")),
        Scope::Rule { rule, backend: Some(backend) } => Some(format!("spec.rules[{rule}].backendRefs[{backend}]")),
        Scope::Listener(name) => index("listeners", &|listener| listener.get("name").is_some_and(|found| found == name.declared())),
        Scope::Parent(parent) => {
            let is = |field: &str, value: Option<&str>, found: &Value| found.get(field).and_then(Value::as_str) == value;
            index("parentRefs", &|found| {
                let port = found.get("port").and_then(Value::as_i64) == parent.port.map(i64::from);
                let section = parent.section_name.as_ref().map(|name| name.0.as_str());
                port && is("name", Some(&parent.name), found)
                    && is("namespace", parent.namespace.as_deref(), found)
                    && is("sectionName", section, found)
            })
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if let Some(object) = &self.object {
            write!(f, " {object}")?;
        }
        if let Some(field) = &self.field {
            write!(f, " {field}")?;
        }
        write!(f, ": {}: {}", self.severity.word(), self.message)
    }
}

/// The objects of a directory as they were accepted, by identity.
pub(super) type Objects = std::collections::BTreeMap<ObjectId, Value>;
