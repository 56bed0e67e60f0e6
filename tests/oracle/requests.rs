//! Random requests: most of them aim at a match of the world and then miss it a little.

use super::generate::{HEADER_VALUES, HEADERS, METHODS, PARAMETER_VALUES, PARAMETERS, PATHS};
use super::random::Random;
use super::world::{Match, PathKind, Request, Rule, World};

/// Tails that a path gets now and then: elements, doubled slashes, encodings, dot segments, bare `?`.
const TAILS: [&str; 24] = [
    "/",
    "//",
    "/x",
    "/b",
    "/c",
    "b",
    "x",
    "/b/c/d",
    "//b",
    "/./b",
    "/../b",
    "/..",
    "%2f",
    "%2Fb",
    "/%2e%2e/b",
    "?",
    "?x=1",
    "/?",
    "?q=1",
    "?/a",
    "/b?r=2&q=1",
    ";p=1",
    "/.",
    ".html",
];
/// Bytes that RFC 3986 does not allow in a target, or not there.
const ODD_BYTES: [&str; 12] = ["#", "#x", "/#/b", "|", "{x}", "\"", "<>", "^", "`", "\\", "/é", "[1]"];
const HOSTS: [&str; 12] = [
    "example.com",
    "a.example.com",
    "b.a.example.com",
    "c.b.a.example.com",
    "d.c.b.a.example.com",
    "x.y.z.example.com",
    "b.example.com",
    "unknown.test",
    "com",
    "other.org",
    "sub.other.org",
    "a-b.example.com",
];
const LABELS: [&str; 5] = ["a", "x", "a.b", "x-1", "1.2.3"];

/// Fields with which Sōzu hands a request to the filter proxy, whatever its host and path (`edge/plan/bouncers.rs`): the answer is to
/// be the same.
const BOUNCED: [(&str, &str); 7] = [
    ("Connection", "keep-alive, X-Odd"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Connection", "keep-alive"),
    ("TE", "gzip"),
    ("X_Real_IP", "192.0.2.66"),
    ("X-Original-URL", "/admin"),
    ("x-kakehi-hop", "1"),
];

/// `count` requests to a world.
pub fn requests(world: &World, seed: u64, count: usize) -> Vec<Request> {
    let mut random = Random::new(seed ^ 0x5eed_0f5e_ed0f);
    (0..count).map(|_| mostly_met(world, &mut random)).collect()
}

/// A request that no route meets gets one more chance.
fn mostly_met(world: &World, random: &mut Random) -> Request {
    let first = request(world, random);
    if super::naive::winner(world, &first).is_some() { first } else { request(world, random) }
}

fn request(world: &World, random: &mut Random) -> Request {
    let aim = aim(world, random);
    let host = host(world, aim.map(|(route, _)| route), random);
    let matched = aim.and_then(|(_, rule)| if rule.matches.is_empty() { None } else { Some(random.pick(&rule.matches).clone()) });
    let matched = matched.unwrap_or_default();
    let listener = random.pick(&world.listeners);
    let path = path(&matched, random);
    let mut request = Request {
        port: if random.chance(95) { listener.port } else { world.listeners[0].port },
        method: method(&matched, random),
        target: path,
        host: Some(dressed(&host, random)),
        headers: headers(&matched, random),
    };
    add_parameters(&matched, &mut request.target, random);
    odd_forms(&mut request, &host, random);
    request
}

/// A rule to aim at.
fn aim<'a>(world: &'a World, random: &mut Random) -> Option<(usize, &'a Rule)> {
    if world.routes.is_empty() || random.chance(10) {
        return None;
    }
    let route = random.below(world.routes.len());
    world.routes.get(route).filter(|route| !route.rules.is_empty()).map(|found| (route, random.pick(&found.rules)))
}

fn host(world: &World, route: Option<usize>, random: &mut Random) -> String {
    let patterns: Vec<String> = match route {
        Some(route) if random.chance(70) => world.routes[route].hostnames.clone(),
        _ => world.listeners.iter().filter_map(|listener| listener.hostname.clone()).collect(),
    };
    if patterns.is_empty() || random.chance(20) {
        return random.word(&HOSTS).to_owned();
    }
    let pattern = random.pick(&patterns).clone();
    match pattern.strip_prefix("*.") {
        Some(suffix) if random.chance(10) => suffix.to_owned(),
        Some(suffix) => format!("{}.{suffix}", random.pick(&LABELS)),
        None if random.chance(10) => format!("{}.{pattern}", random.pick(&LABELS)),
        None => pattern,
    }
}

/// The host as a client may write it.
fn dressed(host: &str, random: &mut Random) -> String {
    match random.below(20) {
        0 => host.to_ascii_uppercase(),
        1 => format!("{host}:8080"),
        2 => format!("{}:80", host.replacen('a', "A", 1)),
        3 if random.chance(40) => format!("{host}."),
        3 => random
            .word(&[
                "",
                ":80",
                "under_score.com",
                "[::1]",
                "[::1]:80",
                "10.0.0.1",
                "a..example.com",
                ".example.com",
                "a.example.com:",
                "a.example.com:99999",
                "a.example.com:x",
                "a b",
                "user@a.example.com",
                "a.example.com/x",
                "*.example.com",
                "a%2eexample.com",
            ])
            .to_owned(),
        _ => host.to_owned(),
    }
}

fn path(matched: &Match, random: &mut Random) -> String {
    let mut path = match &matched.path {
        Some((PathKind::Regex, expression)) => match expression.as_str() {
            "/a.*" => "/abc".to_owned(),
            "/[ab]" | "/a|/b" => "/b".to_owned(),
            "/(a|b)/.+" => "/b/x".to_owned(),
            "/v[0-9]+/users" => "/v17/users".to_owned(),
            "/v1/users/[0-9]{2}" => "/v1/users/42".to_owned(),
            _ => "/x/c".to_owned(),
        },
        Some((_, path)) if random.chance(90) => path.clone(),
        _ => random.word(&PATHS).to_owned(),
    };
    if random.chance(45) {
        path.push_str(random.word(&TAILS));
    }
    match random.below(40) {
        0 => path.insert(0, '/'),
        1 => path = path.to_ascii_uppercase(),
        2 => path.push_str(&format!("/{}", "long".repeat(random.between(1, 500)))),
        3 => path = path.replacen('a', "%61", 1),
        _ => {}
    }
    path
}

fn method(matched: &Match, random: &mut Random) -> String {
    match &matched.method {
        Some(method) if random.chance(80) => method.clone(),
        _ if random.chance(60) => "GET".to_owned(),
        _ => random.word(&METHODS).to_owned(),
    }
}

fn headers(matched: &Match, random: &mut Random) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for condition in &matched.headers {
        let name = if random.chance(30) { condition.name.to_ascii_uppercase() } else { condition.name.clone() };
        match random.below(10) {
            0 => {}
            1 => headers.push((name, random.word(&HEADER_VALUES).to_owned())),
            2 if condition.value == "a,b" => {
                headers.push((name.clone(), "a".to_owned()));
                headers.push((name, "b".to_owned()));
            }
            3 => {
                headers.push((name.clone(), condition.value.clone()));
                headers.push((name, "b".to_owned()));
            }
            _ if condition.regex => headers.push((name, "a".to_owned())),
            _ => headers.push((name, condition.value.clone())),
        }
    }
    if random.chance(25) {
        headers.push((random.word(&HEADERS).to_owned(), random.word(&HEADER_VALUES).to_owned()));
    }
    if random.chance(8) {
        let (name, value) = *random.pick(&BOUNCED);
        headers.push((name.to_owned(), value.to_owned()));
    }
    headers
}

fn add_parameters(matched: &Match, target: &mut String, random: &mut Random) {
    let mut parameters = Vec::new();
    for condition in &matched.query {
        let value = if condition.regex { "1".to_owned() } else { condition.value.clone() };
        match random.below(10) {
            0 => {}
            1 => parameters.push((condition.name.clone(), random.word(&PARAMETER_VALUES).to_owned())),
            2 => {
                parameters.push((condition.name.clone(), value));
                parameters.push((condition.name.clone(), "1".to_owned()));
            }
            _ => parameters.push((condition.name.clone(), value)),
        }
    }
    if random.chance(15) {
        parameters.insert(0, (random.word(&PARAMETERS).to_owned(), random.word(&PARAMETER_VALUES).to_owned()));
    }
    for (name, value) in parameters {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(&format!("{}={}", form_encoded(&name, random), form_encoded(&value, random)));
    }
}

fn form_encoded(text: &str, random: &mut Random) -> String {
    let mut encoded = String::new();
    for character in text.chars() {
        match character {
            ' ' if random.chance(50) => encoded.push('+'),
            ' ' | '&' | '+' => encoded.push_str(&format!("%{:02x}", character as u32)),
            _ if random.chance(5) => encoded.push_str(&format!("%{:02X}", character as u32)),
            _ => encoded.push(character),
        }
    }
    encoded
}

/// Targets and methods that few clients send.
fn odd_forms(request: &mut Request, host: &str, random: &mut Random) {
    match random.below(60) {
        0 => {
            request.method = "OPTIONS".to_owned();
            request.target = "*".to_owned();
        }
        1 | 2 => {
            request.target = format!("http://{host}{}", request.target);
            if random.chance(30) {
                request.host = Some("elsewhere.test".to_owned());
            }
        }
        3 => request.method = "get".to_owned(),
        4 => request.target.push_str("%zz"),
        7 if random.chance(30) => request.host = None,
        5 | 6 => request.target.push_str(random.word(&ODD_BYTES)),
        _ => {}
    }
}
