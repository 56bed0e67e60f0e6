//! Objects changed at random: values that are nearly right, in places that matter.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// Texts, right and wrong for one field or another.
const TEXTS: &[&str] = &[
    "",
    "a",
    "A",
    "/",
    "/a",
    "/a/",
    "//a",
    "/a//b",
    "/a/./b",
    "/a/..",
    "/a/.",
    "/a%2fb",
    "/a%2Fb",
    "/a#b",
    "/a%zz",
    "/a b",
    "/é",
    "/a?b",
    "a/b",
    "example.com",
    "*.example.com",
    "*",
    "*.",
    "EXAMPLE.com",
    "example.com.",
    "example.com:80",
    "a..b",
    "-a",
    "a-",
    "a_b",
    "1.2.3.4",
    "::1",
    "example.com/x",
    "/x",
    "x/",
    "Exact",
    "PathPrefix",
    "RegularExpression",
    "GET",
    "get",
    "HTTP",
    "HTTPS",
    "TLS",
    "TCP",
    "UDP",
    "Terminate",
    "Passthrough",
    "All",
    "Same",
    "Selector",
    "None",
    "Service",
    "Gateway",
    "Secret",
    "gateway.networking.k8s.io",
    "IPAddress",
    "Hostname",
    "NamedAddress",
    "RequestRedirect",
    "URLRewrite",
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestMirror",
    "CORS",
    "ExtensionRef",
    "ExternalAuth",
    "ReplaceFullPath",
    "ReplacePrefixMatch",
    "http",
    "https",
    "10s",
    "1m",
    "0s",
    "1h30m",
    "10",
    "1.5s",
    "123456s",
    "a\r\nb",
    "a b",
    " a",
    "a ",
    "a\tb",
    "x-name",
    "X_Name",
    "x name",
    "x:name",
    "Cookie",
    "Header",
    "Permanent",
    "Session",
    "GRPC",
    "https://a.b",
    "https://*.a.b:8443",
    "https://a.b/",
    "AllowValidOnly",
    "AllowInsecureFallback",
    "In",
    "Exists",
];
const NUMBERS: &[i64] =
    &[-1, 0, 1, 2, 50, 80, 100, 101, 200, 301, 302, 303, 304, 307, 308, 443, 599, 600, 8080, 65535, 65536, 1_000_000, 1_000_001];

/// One of the objects with one to three changes, none to its type or metadata.
pub fn mutated(bases: &[Value], random: &mut StdRng) -> Value {
    let mut object = bases[random.random_range(0..bases.len())].clone();
    for _ in 0..random.random_range(1..4) {
        let places = places(&object);
        if places.is_empty() {
            break;
        }
        change(&mut object, &places[random.random_range(0..places.len())], random);
    }
    object
}

/// Pointers to all that may change.
fn places(object: &Value) -> Vec<String> {
    let mut places = Vec::new();
    for (field, value) in object.as_object().unwrap() {
        if !["apiVersion", "kind", "metadata", "status"].contains(&field.as_str()) {
            collect(value, &format!("/{field}"), &mut places);
        }
    }
    places
}

fn collect(value: &Value, path: &str, places: &mut Vec<String>) {
    places.push(path.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| collect(value, &format!("{path}/{}", key.replace('/', "~1")), places))
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| collect(value, &format!("{path}/{index}"), places)),
        _ => {}
    }
}

fn change(object: &mut Value, place: &str, random: &mut StdRng) {
    let others: Vec<Value> = places(object).iter().filter_map(|place| object.pointer(place)).cloned().collect();
    if random.random_range(0..5) == 0 && place != "/spec" {
        return remove(object, place);
    }
    let Some(value) = object.pointer_mut(place) else { return };
    *value = match (&*value, random.random_range(0..12)) {
        (Value::Array(items), 0..4) if !items.is_empty() => {
            let mut items = items.clone();
            items.push(items[random.random_range(0..items.len())].clone());
            json!(items)
        }
        (Value::Array(items), 4) => json!(items.iter().cycle().take(items.len() * 20).collect::<Vec<_>>()),
        (Value::Array(_), 5) => json!([]),
        (Value::Object(_), 6) => json!({}),
        (Value::Object(_) | Value::Array(_), 7) => others[random.random_range(0..others.len())].clone(),
        (Value::Object(_) | Value::Array(_), _) => return,
        (Value::String(text), 0) => json!(text.repeat(random.random_range(2..300))),
        (Value::String(text), 1) => json!(format!("{text}{}", TEXTS[random.random_range(0..TEXTS.len())])),
        (Value::Number(_), 0..9) => json!(NUMBERS[random.random_range(0..NUMBERS.len())]),
        (_, 9) => json!(null),
        (_, 10) => json!(random.random_bool(0.5)),
        (_, 11) => others[random.random_range(0..others.len())].clone(),
        _ => json!(TEXTS[random.random_range(0..TEXTS.len())]),
    };
}

fn remove(object: &mut Value, place: &str) {
    let Some((parent, last)) = place.rsplit_once('/') else { return };
    match object.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(&last.replace("~1", "/"))),
        Some(Value::Array(items)) => drop(items.remove(last.parse().unwrap())),
        _ => {}
    }
}
