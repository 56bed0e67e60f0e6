//! `kakehi crds`: prints the CustomResourceDefinitions of our kinds.

use std::process::ExitCode;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use super::telling::print;
use crate::api::EdgeProfile;

/// Our kinds.
const KINDS: &[fn() -> CustomResourceDefinition] = &[EdgeProfile::crd];

pub(super) fn run() -> anyhow::Result<ExitCode> {
    print(&definitions()?.into_iter().map(|(_, text)| text).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

/// Every CustomResourceDefinition as a YAML document, with the name of its file.
///
/// # Errors
/// Never for these plain values; serialisation is fallible by type.
pub fn definitions() -> anyhow::Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for crd in KINDS {
        let crd = crd();
        let name = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
        let value = serde_json::to_value(&crd)?;
        all.push((name, format!("---\n{}", serde_saphyr::to_string(&value)?)));
    }
    Ok(all)
}
