//! `kakehi translate DIR`: what a directory of manifests means, without serving it.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::telling::print;
use crate::controller::view::{plan_view, refusal_view, report_view, snapshot_view};
use crate::edge::plan;
use crate::settings::TranslateSettings;
use crate::standalone::{self, Meaning};

/// Prints one YAML document. Exit code 1 when a manifest or an object is refused.
pub(super) fn run(settings: &TranslateSettings) -> anyhow::Result<ExitCode> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().cast_signed();
    let meaning = standalone::translate(&settings.config_dir, &settings.directory, now)?;
    let text = serde_saphyr::to_string(&document(&meaning, &settings.directory.plan_options()))?;
    print(&text)?;
    for refusal in &meaning.refusals {
        tracing::warn!("{refusal}");
    }
    Ok(if meaning.refused() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn document(meaning: &Meaning, options: &plan::Options) -> Value {
    let edges = meaning.edges.iter().map(|(id, edge)| {
        let view = json!({
            "addresses": edge.data.addresses,
            "snapshot": snapshot_view(&edge.snapshot),
            "plan": plan_view(&edge.snapshot, options),
        });
        (id.to_string(), view)
    });
    json!({
        "edges": Value::Object(edges.collect()),
        "objects": meaning.statuses,
        "reports": meaning.reports.iter().map(|report| report_view(report)).collect::<Vec<_>>(),
        "refused": meaning.refusals.iter().map(refusal_view).collect::<Vec<_>>(),
    })
}
