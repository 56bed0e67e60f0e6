//! The import law: objects on the left, proxies on the right, the model between knowing neither. And the page of features,
//! held to the types and tests that it names.
//!
//! Every path in the sources counts, in `use` items and inline, `crate::` and bare. A deliberately broken fixture proves
//! that the test can fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "architecture/features.rs"]
mod features;
#[path = "architecture/law.rs"]
mod law;

use std::path::Path;

#[test]
fn the_sources_keep_the_import_law() {
    let violations = law::violations(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn the_broken_fixture_is_caught() {
    let violations = law::violations(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/architecture/broken"));
    let expected = [
        "edge/mod.rs: edge uses kakehi::store",
        "edge/mod.rs: edge uses kube",
        "edge/plan.rs: only edge/sozu may use sozu_command_lib",
        "filter/mod.rs: filter uses kakehi::edge",
        "filter/mod.rs: filter uses kakehi::store",
        "model/mod.rs: model uses kakehi::snapshot",
        "store/mod.rs: only api may use gateway_api",
        "translate/mod.rs: translate uses kakehi::store",
        "translate/mod.rs: translate uses std::time",
        "translate/mod.rs: translate uses tokio",
    ];
    assert_eq!(violations, expected);
}
