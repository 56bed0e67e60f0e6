//! `config/features.md` names every field of the objects that we read, and nothing else; every test that it names is there, and
//! about the field.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kakehi::api;
use schemars::{JsonSchema, schema_for};
use serde_json::Value;

/// Who may serve a field.
const STAGES: [&str; 6] = ["control", "native", "hop", "relay", "finding", "none"];

/// A row of a table.
struct Row {
    fields: Vec<String>,
    stages: Vec<String>,
    tests: Vec<String>,
}

/// The kinds that the page has to have, with their fields.
fn kinds() -> [(&'static str, BTreeSet<String>); 8] {
    [
        ("GatewayClass", fields::<api::gatewayclasses::GatewayClassSpec>()),
        ("Gateway", fields::<api::gateways::GatewaySpec>()),
        ("ListenerSet", fields::<api::listener_set::ListenerSetSpec>()),
        ("HTTPRoute", fields::<api::httproutes::HttpRouteSpec>()),
        ("GRPCRoute", fields::<api::grpcroutes::GrpcRouteSpec>()),
        ("ReferenceGrant", fields::<api::referencegrants::ReferenceGrantSpec>()),
        ("IngressClass", fields::<api::networking::IngressClassSpec>()),
        ("Ingress", fields::<api::networking::IngressSpec>()),
    ]
}

/// Paths of all fields of a type, inner ones too, those of lists with `[]`.
fn fields<T: JsonSchema>() -> BTreeSet<String> {
    let schema = serde_json::to_value(schema_for!(T)).unwrap();
    let mut found = BTreeSet::new();
    walk(&schema, &schema, "", &mut found);
    found
}

fn walk(root: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(target) = schema["$ref"].as_str() {
        return walk(root, root.pointer(target.trim_start_matches('#')).unwrap(), path, found);
    }
    for many in ["anyOf", "allOf", "oneOf"] {
        schema[many].as_array().into_iter().flatten().for_each(|one| walk(root, one, path, found));
    }
    if schema["items"].is_object() {
        let path = format!("{path}[]");
        found.insert(path.clone());
        walk(root, &schema["items"], &path, found);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.insert(path.clone());
        walk(root, field, &path, found);
    }
}

/// The page's tables by kind.
fn page() -> BTreeMap<String, Vec<Row>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/features.md")).unwrap();
    let mut tables: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let mut kind = String::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            kind = heading.to_owned();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", fields, stages, tests, ""] = cells.as_slice()
            && fields.starts_with('`')
        {
            let stages = stages.split(',').map(|stage| stage.trim().to_owned()).collect();
            tables.entry(kind.clone()).or_default().push(Row { fields: quoted(fields), stages, tests: quoted(tests) });
        }
    }
    tables
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether a row's field is this one, or holds it.
fn covers(row: &str, field: &str) -> bool {
    field.strip_prefix(row).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[test]
fn every_field_has_a_row_and_every_row_a_field() {
    let page = page();
    assert_eq!(page.keys().map(String::as_str).collect::<BTreeSet<_>>(), kinds().iter().map(|(kind, _)| *kind).collect());
    let mut wrong = Vec::new();
    for (kind, fields) in kinds() {
        let rows: Vec<&String> = page[kind].iter().flat_map(|row| &row.fields).collect();
        // An inner field is there with its last parts.
        let last = |field: &&String| !fields.iter().any(|other| other != *field && covers(field, other));
        wrong.extend(
            fields
                .iter()
                .filter(last)
                .filter(|field| !rows.iter().any(|row| covers(row, field)))
                .map(|field| format!("{kind}: no row for {field}")),
        );
        wrong.extend(rows.iter().filter(|row| !fields.contains(**row)).map(|row| format!("{kind}: no field {row}")));
    }
    assert!(wrong.is_empty(), "config/features.md\n{}", wrong.join("\n"));
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (kind, rows) in page() {
        for row in rows {
            let unknown = row.stages.iter().any(|stage| !STAGES.contains(&stage.as_str()));
            let idle = row.stages == ["none"];
            if unknown || row.tests.is_empty() != idle {
                wrong.push(format!("{kind}: {:?} by {:?} with {} tests", row.fields, row.stages, row.tests.len()));
            }
            wrong.extend(row.tests.iter().filter(|test| !is_there(root, test)).map(|test| format!("{kind}: no test {test}")));
        }
    }
    assert!(wrong.is_empty(), "config/features.md\n{}", wrong.join("\n"));
}

/// A directory of a golden case, or `file::function`.
fn is_there(root: &Path, test: &str) -> bool {
    match test.split_once("::") {
        None => test.starts_with("tests/cases/") && root.join(test).join("expected").is_dir(),
        Some((file, function)) => {
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            text.contains(&format!("fn {function}(")) && (text.contains("#[test]") || text.contains("#[tokio::test"))
        }
    }
}

/// A golden case sets the field in an object of the kind, and says so by having it; of other tests only the text can be looked at.
#[test]
fn the_tests_of_a_row_are_about_its_fields() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (kind, rows) in page() {
        for row in rows {
            let (files, cases): (Vec<&String>, Vec<&String>) = row.tests.iter().partition(|test| test.contains("::"));
            let cases: Vec<(&String, Vec<Value>)> = cases.into_iter().map(|case| (case, specs(root, case, &kind))).collect();
            for (case, specs) in &cases {
                if !specs.iter().any(|spec| row.fields.iter().any(|field| sets(spec, field))) {
                    wrong.push(format!("{kind}: {case} sets none of {:?}", row.fields));
                }
            }
            for field in &row.fields {
                let of_files = || files.iter().any(|test| mentions(root, test, field));
                let of_cases = cases.iter().flat_map(|(_, specs)| specs).any(|spec| sets(spec, field));
                let is_told = row.tests.is_empty() || of_cases || (cases.is_empty() && of_files());
                if !is_told {
                    wrong.push(format!("{kind}: no test that is named for {field} sets it"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "config/features.md\n{}", wrong.join("\n"));
}

/// What a case's objects of a kind specify.
fn specs(root: &Path, case: &str, kind: &str) -> Vec<Value> {
    let files = std::fs::read_dir(root.join(case).join("in")).into_iter().flatten().map(|file| file.unwrap().path());
    let texts: Vec<String> = files.map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let documents = texts.iter().flat_map(|text| text.split("\n---")).filter_map(|text| serde_saphyr::from_str::<Value>(text).ok());
    documents.filter(|object| object["kind"] == kind).map(|mut object| object["spec"].take()).collect()
}

/// Whether something is there at a path of fields.
fn sets(value: &Value, path: &str) -> bool {
    let (field, rest) = path.split_once('.').unwrap_or((path, ""));
    let found = &value[field.trim_end_matches("[]")];
    let found = if field.ends_with("[]") { found.as_array().map(Vec::as_slice).unwrap_or_default() } else { std::slice::from_ref(found) };
    found.iter().any(|found| if rest.is_empty() { !found.is_null() } else { sets(found, rest) })
}

/// Whether the text of a test's file has a field's name, in the spelling of Rust or of YAML.
fn mentions(root: &Path, test: &str, field: &str) -> bool {
    let last = field.rsplit('.').next().unwrap_or(field).trim_end_matches("[]").to_lowercase();
    let file = test.split("::").next().unwrap_or(test);
    std::fs::read_to_string(root.join(file)).unwrap_or_default().replace('_', "").to_lowercase().contains(&last)
}

#[test]
fn a_field_is_set_where_its_path_leads_somewhere() {
    let spec = serde_json::json!({"rules": [{"filters": [{"type": "CORS"}]}, {"backendRefs": [{"filters": [{"type": "URLRewrite"}]}]}]});
    for there in ["rules[]", "rules[].filters[].type", "rules[].backendRefs[].filters[].type"] {
        assert!(sets(&spec, there), "{there}");
    }
    for absent in
        ["rule[]", "rules[].filters[].cors", "rules[].backendRefs[].type", "hostnames[]", "rules[].backendRefs[].filters[].type.x"]
    {
        assert!(!sets(&spec, absent), "{absent}");
    }
}
