//! The released CustomResourceDefinitions of Gateway API, from its Go module. None is copied into this repository.

use std::path::PathBuf;
use std::process::Command;

const MODULE: &str = "sigs.k8s.io/gateway-api";
/// The release that everything is built for.
const RELEASE: &str = "v1.6.1";

/// The unpacked module; `None` on a machine without Go, where the caller's test says nothing.
pub fn gateway_api() -> Option<PathBuf> {
    gateway_api_of(RELEASE)
}

/// The same of another release.
pub fn gateway_api_of(release: &str) -> Option<PathBuf> {
    let module = format!("{MODULE}@{release}");
    let download = Command::new("go").args(["mod", "download", "-json", &module]).env("GOFLAGS", "-mod=mod").current_dir("/").output();
    let output = match download {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no Go to fetch {module} with");
            return None;
        }
        Err(error) => panic!("go: {error}"),
    };
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("go mod download -json answers JSON");
    let path = answer["Dir"].as_str().unwrap_or_else(|| panic!("{module} cannot be fetched: {answer}"));
    Some(PathBuf::from(path))
}
