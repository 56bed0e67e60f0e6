//! What is generated from the code is current. `make generate` rewrites it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::Path;

use kakehi::series::{CONTROL, Kind, PARTS, Series};

#[test]
fn the_page_of_settings_is_current() {
    current(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config/settings.md"), &settings());
}

#[test]
fn the_resource_definitions_are_current() {
    let wanted = kakehi::cli::crds::definitions().unwrap();
    for folder in ["crds", "charts/kakehi/crds"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for (name, text) in &wanted {
            current(&folder.join(name), text);
        }
        let mut there: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        there.sort();
        let mut names: Vec<_> = wanted.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        assert_eq!(there, names, "{}", folder.display());
    }
}

#[test]
fn the_chart_s_rules_are_those_of_the_tables() {
    use kakehi::cli::rules::{cluster_rules, edge_rules, namespace_rules, withdraw_edge_rules, withdraw_rules};
    for (name, rules) in [
        ("rules-cluster", cluster_rules()),
        ("rules-namespaces", namespace_rules()),
        ("rules-edges", edge_rules()),
        ("withdraw-rules", withdraw_rules()),
        ("withdraw-edge-rules", withdraw_edge_rules()),
    ] {
        let text = serde_saphyr::to_string(&serde_json::to_value(rules).unwrap()).unwrap();
        current(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("charts/kakehi/files/{name}.yaml")), &text);
    }
}

#[test]
fn the_page_of_metrics_is_current() {
    current(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config/metrics.md"), &metrics());
}

#[test]
fn series_are_named_as_prometheus_wants_it() {
    let mut names = std::collections::BTreeSet::new();
    for series in PARTS.iter().flat_map(|part| part.series) {
        let Series { name, kind, labels, help } = series;
        assert!(names.insert(*name), "{name} twice");
        assert!(name.starts_with("kakehi_") && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert_eq!(
            name.ends_with("_seconds"),
            *kind == Kind::Histogram || ["_age_seconds", "_lag_seconds", "_timestamp_seconds"].iter().any(|end| name.ends_with(end)),
            "{name}"
        );
        assert!(!labels.contains(&"edge") || CONTROL.iter().any(|control| control.name == *name), "{name}: edges have that label anyway");
        assert!(!help.is_empty() && !help.ends_with('.'), "{name}");
    }
}

#[test]
fn the_dashboard_asks_for_nothing_else() {
    let known: Vec<&Series> = PARTS.iter().flat_map(|part| part.series).copied().collect();
    let mut asked = std::collections::BTreeSet::new();
    for query in dashboard_queries() {
        let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| word.starts_with("kakehi_")) {
            let series = known.iter().find(|series| {
                word == series.name && series.kind != Kind::Histogram
                    || series.kind == Kind::Histogram
                        && ["_bucket", "_sum", "_count"].iter().any(|suffix| word == format!("{}{suffix}", series.name))
            });
            asked.insert(series.unwrap_or_else(|| panic!("{word} in {query}")).name);
        }
    }
    assert!(asked.len() > 20, "{asked:?}");
}

#[test]
fn alerts_ask_for_series_that_are_there_and_are_documented() {
    let known: Vec<&str> = PARTS.iter().flat_map(|part| part.series).map(|series| series.name).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let alerts: serde_json::Value =
        serde_saphyr::from_str(&std::fs::read_to_string(root.join("charts/kakehi/files/alerts.yaml")).unwrap()).unwrap();
    let page = std::fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let rules: Vec<_> = alerts["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    let mut names = std::collections::BTreeSet::new();
    for rule in &rules {
        let (name, expression) = (rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap());
        assert!(names.insert(name), "{name} twice");
        assert!(page.contains(&format!("`{name}`")), "docs/operations.md says nothing of {name}");
        assert!(["critical", "warning", "info"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        assert!(rule["annotations"]["summary"].is_string() && rule["annotations"]["description"].is_string(), "{name}");
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let asked: Vec<&str> = words.filter(|word| word.starts_with("kakehi_")).collect();
        assert!(!asked.is_empty() && asked.iter().all(|word| known.contains(word)), "{name}: {asked:?}");
    }
    let told: Vec<&str> = page.split('`').filter(|word| word.starts_with("Kakehi") && !word.contains(' ')).collect();
    assert!(told.iter().all(|name| names.contains(name)), "{told:?} of {names:?}");
    assert!(rules.len() > 15);
}

/// The paths of all fields of a schema, those of foreign types (Kubernetes's own) not beyond their first.
fn fields(schema: &serde_json::Value, at: &str, into: &mut std::collections::BTreeSet<String>) {
    const FOREIGN: [&str; 6] = ["affinity", "tolerations", "topologySpreadConstraints", "pullSecrets", "edge", "sozu"];
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{at}.{name}");
        into.insert(path.clone());
        if !FOREIGN.contains(&name.as_str()) {
            fields(inner, &path, into);
            fields(&inner["items"], &path, into);
        }
    }
}

/// The paths of all fields that a value has.
fn named(value: &serde_json::Value, at: &str, into: &mut std::collections::BTreeSet<String>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{at}.{name}");
        into.insert(path.clone());
        named(inner, &path, into);
    }
    value.as_array().into_iter().flatten().for_each(|inner| named(inner, at, into));
}

/// The names of a manifest's own dependencies.
fn dependencies(manifest: &str) -> std::collections::BTreeSet<&str> {
    let lines = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1).take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim()).filter(|name| !name.starts_with('#')).collect()
}

/// What a lock file says that a package needs.
fn locked<'a>(lock: &'a str, package: &str) -> std::collections::BTreeSet<&'a str> {
    let head = format!("name = \"{package}\"\n");
    let block = lock.split("[[package]]\n").find(|block| block.starts_with(&head)).unwrap();
    let names = block.lines().skip_while(|line| *line != "dependencies = [").skip(1).take_while(|line| *line != "]");
    names.map(|line| line.trim_matches([' ', '"', ',']).split(' ').next().unwrap()).collect()
}

/// `cargo` mends a lock file when it builds, but the fuzz targets are built seldom.
#[test]
fn the_fuzz_targets_lock_what_the_crate_needs() {
    let read = |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (manifest, lock) = (read("Cargo.toml"), read("tests/fuzz/Cargo.lock"));
    let wanted = dependencies(&manifest);
    assert!(wanted.len() > 40 && wanted.contains("kube"), "{wanted:?}");
    assert_eq!(locked(&lock, "kakehi"), wanted, "tests/fuzz/Cargo.lock is stale: build the fuzz targets once");
    let (manifest, own) = (read("tests/fuzz/Cargo.toml"), locked(&lock, "kakehi-fuzz"));
    assert_eq!(own, dependencies(&manifest), "tests/fuzz/Cargo.lock is stale: build the fuzz targets once");
}

/// The schema of an EdgeProfile's spec.
fn profile_schema() -> serde_json::Value {
    let definitions = kakehi::cli::crds::definitions().unwrap();
    let text = definitions.iter().find(|(name, _)| name.contains("edgeprofiles")).unwrap().1.clone();
    let definition: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// A profile and a command line name the same fields and forms: the profile's become flags of processes.
#[test]
fn a_profile_names_what_the_access_log_has() {
    use clap::ValueEnum;
    use kakehi::access_log::{Field, Format};
    let names: Vec<_> = Field::ALL.iter().map(|field| field.name()).collect();
    for (written, format) in [("Off", Format::Off), ("JSON", Format::Json), ("Text", Format::Text)] {
        let profile = serde_json::json!({"accessLog": {"format": written, "fields": names}, "log": {"sozu": "Warn"}});
        let profile: kakehi::api::EdgeProfileSpec = serde_json::from_value(profile).unwrap();
        let said = profile.variables();
        for (name, value) in
            [("KAKEHI_ACCESS_LOG", format.name()), ("KAKEHI_ACCESS_LOG_FIELDS", &names.join(",")), ("KAKEHI_SOZU_LOG", "warn")]
        {
            assert!(said.iter().any(|(known, told)| *known == name && told == value), "{name}={value}: {said:?}");
        }
    }
    assert_eq!((names.len(), Format::value_variants().len()), (Field::value_variants().len(), 3));
}

#[test]
fn every_field_of_a_profile_has_an_example() {
    let mut there = std::collections::BTreeSet::new();
    fields(&profile_schema(), "spec", &mut there);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/edge-profile.yaml");
    let mut shown = std::collections::BTreeSet::new();
    for document in std::fs::read_to_string(path).unwrap().split("\n---\n") {
        let sample: serde_json::Value = serde_saphyr::from_str(document).unwrap();
        let schema = serde_json::json!({"definitions": {"profile": strict(&profile_schema())}, "$ref": "#/definitions/profile"});
        let validator = jsonschema::validator_for(&schema).unwrap();
        let wrong: Vec<String> = validator.iter_errors(&sample["spec"]).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?} in {document}");
        named(&sample["spec"], "spec", &mut shown);
    }
    let missing: Vec<_> = there.difference(&shown).collect();
    assert!(missing.is_empty(), "config/samples/edge-profile.yaml lacks {missing:?}");
    assert!(there.len() > 50, "{there:?}");
}

/// A schema of the API server as one of JSON: what is not named is refused, and so are nulls.
fn strict(schema: &serde_json::Value) -> serde_json::Value {
    use serde_json::{Value, json};
    let Value::Object(schema) = schema else { return schema.clone() };
    if schema.get("x-kubernetes-int-or-string").is_some() {
        return json!({"type": ["integer", "string"]});
    }
    let mut made = serde_json::Map::new();
    for (name, value) in schema {
        match (name.as_str(), value) {
            ("description" | "default" | "nullable" | "format", _) => {}
            (name, _) if name.starts_with("x-kubernetes") => {}
            ("properties", Value::Object(properties)) => {
                made.insert("properties".into(), properties.iter().map(|(name, schema)| (name.clone(), strict(schema))).collect());
                made.insert("additionalProperties".into(), false.into());
            }
            ("enum", Value::Array(values)) => {
                made.insert("enum".into(), values.iter().filter(|value| !value.is_null()).cloned().collect());
            }
            ("items" | "additionalProperties", schema) => drop(made.insert(name.clone(), strict(schema))),
            (_, value) => drop(made.insert(name.clone(), value.clone())),
        }
    }
    Value::Object(made)
}

#[test]
fn the_chart_checks_profiles_as_the_api_server_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/kakehi/values.schema.json");
    let mut schema: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    schema["definitions"]["profile"] = strict(&profile_schema());
    current(&path, &(serde_json::to_string_pretty(&schema).unwrap() + "\n"));
}

#[test]
fn the_chart_refuses_values_that_are_none() {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/kakehi");
    let schema = serde_json::from_str(&std::fs::read_to_string(chart.join("values.schema.json")).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let values: serde_json::Value = serde_saphyr::from_str(&std::fs::read_to_string(chart.join("values.yaml")).unwrap()).unwrap();
    assert!(validator.is_valid(&values), "{:?}", validator.iter_errors(&values).map(|error| error.to_string()).collect::<Vec<_>>());
    for (pointer, value, is_valid) in [
        ("/gatewayClass/profile", serde_json::json!({"replicas": 3, "service": {"nodePorts": [{"port": 80, "nodePort": 30080}]}}), true),
        ("/gatewayClass/profile", serde_json::json!({"replicaz": 3}), false),
        ("/ingressClass/profile", serde_json::json!({"drainSeconds": 0}), false),
        ("/ingressClass/profile", serde_json::json!({"accessLog": {"format": "json"}}), false),
        ("/ingressClass/profile", serde_json::json!({"placement": {"tolerations": [{"operator": "Exists"}]}}), true),
        ("/log/level", "info,kakehi::edge=debug".into(), true),
        ("/log/level", "inof".into(), false),
        ("/log/sozu", "off".into(), false),
        ("/ports/admin", 0.into(), false),
        ("/extraObjects", serde_json::json!([{"kind": "ConfigMap"}]), false),
        ("/admissionPolicy/networks", serde_json::json!(["Node"]), false),
    ] {
        let mut given = values.clone();
        *given.pointer_mut(pointer).unwrap() = value.clone();
        assert_eq!(validator.is_valid(&given), is_valid, "{pointer}: {value}");
    }
}

/// Every query of the chart's dashboard.
fn dashboard_queries() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/kakehi/files/dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// Every series as a page.
fn metrics() -> String {
    let mut page = String::from(
        "# Metrics\n\nGenerated from the code by `make generate`. Times are in seconds; a histogram has `_bucket`, `_sum` and `_count`.\n",
    );
    for part in PARTS {
        write!(page, "\n## {}\n\n{}\n\n| series | kind | meaning |\n|---|---|---|\n", part.title, part.place).unwrap();
        for Series { name, kind, labels, help } in part.series {
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            writeln!(page, "| `{name}{labels}` | {} | {help} |", kind.name()).unwrap();
        }
    }
    page
}

/// Asserts that a file holds this, and writes it when asked to.
fn current(path: &Path, wanted: &str) {
    if std::env::var_os("KAKEHI_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, wanted).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), wanted, "{}: run `make generate`", path.display());
}

/// Every flag of every subcommand as a page.
fn settings() -> String {
    let mut page = String::from("# Settings\n\nGenerated from the code by `make generate`. A flag wins over its variable.\n");
    let command = kakehi::cli::command();
    table(&mut page, "Every command", command.get_arguments().filter(|argument| argument.is_global_set()));
    for subcommand in command.get_subcommands() {
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        table(&mut page, &format!("`kakehi {}`", subcommand.get_name()), subcommand.get_arguments());
        let heading = format!("## `kakehi {}`\n", subcommand.get_name());
        page = page.replace(&heading, &format!("{heading}\n{about}.\n"));
    }
    page
}

fn table<'a>(page: &mut String, heading: &str, arguments: impl Iterator<Item = &'a clap::Arg>) {
    write!(page, "\n## {heading}\n\n| flag | variable | default | meaning |\n|---|---|---|---|\n").unwrap();
    for argument in arguments.filter(|argument| argument.get_id() != "help" && argument.get_id() != "version") {
        let value = argument.get_value_names().map(|names| names.join(" ")).unwrap_or_default();
        let takes_value = argument.get_action().takes_values();
        let flag = match argument.get_long() {
            Some(long) if takes_value => format!("`--{long} {value}`"),
            Some(long) => format!("`--{long}`"),
            None => format!("`{value}`"),
        };
        let variable = argument.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
        let defaults: Vec<_> = argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        writeln!(page, "| {flag} | {variable} | {} | {help} |", if takes_value { defaults.join(" ") } else { String::new() }).unwrap();
    }
}
