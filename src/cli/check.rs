//! `kakehi check DIR`: what is wrong with a directory of manifests, for people and for CI.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::telling::print;
use crate::settings::{CheckOutput, CheckSettings};
use crate::standalone::{self, Problem};
use crate::store::Severity;

/// Version of the JSON that is printed.
const VERSION: u32 = 1;

/// Prints every problem. Exit code 1 when something is refused or not served, with `--strict` also when something has no effect.
pub(super) fn run(settings: &CheckSettings) -> anyhow::Result<ExitCode> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().cast_signed();
    let meaning = standalone::translate(&settings.config_dir, &settings.directory, now)?;
    let problems = Problem::all(&settings.config_dir, &meaning);
    let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match settings.output {
        CheckOutput::Text => {
            print(&problems.iter().map(|problem| format!("{problem}\n")).collect::<String>())?;
            eprintln!("{}: {}, {}", settings.config_dir.display(), counted(errors, "error"), counted(warnings, "warning"));
        }
        CheckOutput::Json => {
            let page = json!({"version": VERSION, "errors": errors, "warnings": warnings, "problems": problems});
            print(&format!("{page:#}\n"))?;
        }
        CheckOutput::Sarif => print(&format!("{:#}\n", sarif(&problems)))?,
    }
    let fails = errors > 0 || (settings.strict && warnings > 0);
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The problems in the Static Analysis Results Interchange Format, version 2.1.0.
fn sarif(problems: &[Problem]) -> Value {
    let rules: std::collections::BTreeSet<_> = problems.iter().map(|problem| problem.reason).collect();
    let result = |problem: &Problem| {
        let mut place = json!({"artifactLocation": {"uri": problem.file}});
        if let (true, Some(place)) = (problem.line > 0, place.as_object_mut()) {
            place.insert("region".into(), json!({"startLine": problem.line}));
        }
        let about = [problem.object.as_deref(), problem.field.as_deref()];
        let about = about.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let text = if about.is_empty() { problem.message.clone() } else { format!("{about}: {}", problem.message) };
        json!({"ruleId": problem.reason, "level": problem.severity.word(), "message": {"text": text}, "locations": [{"physicalLocation": place}]})
    };
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "kakehi",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.into_iter().map(|id| json!({"id": id})).collect::<Vec<_>>(),
            }},
            "results": problems.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}
