//! Random sets of Ingresses that share hosts and paths on purpose, and requests that aim at them.

use super::super::generate::PATHS;
use super::super::random::Random;
use super::super::world::{Request, Service};
use super::{HostRule, Ingress, Path, PathType, Target};

const HOSTS: [&str; 9] = [
    "example.com",
    "a.example.com",
    "b.a.example.com",
    "*.example.com",
    "*.a.example.com",
    "*.com",
    "*.b.a.example.com",
    "other.org",
    "*.org",
];
const LABELS: [&str; 4] = ["a", "b", "x-1", "b.a"];
const TAILS: [&str; 12] = ["", "", "", "/", "/x", "x", "//", "?q=1", "/?q", "/b/c", "%2fb", "/../b"];

/// The set of a seed.
pub fn set(seed: u64) -> Vec<Ingress> {
    let mut random = Random::new(seed ^ 0x1_6e55);
    let mut backends = 0;
    (0..random.between(1, 7)).map(|number| ingress(&mut random, number, &mut backends)).collect()
}

fn ingress(random: &mut Random, number: usize, backends: &mut usize) -> Ingress {
    let default_backend = if random.chance(15) { Some(target(random, backends)) } else { None };
    let least = usize::from(default_backend.is_none());
    let count = random.between(least, 3);
    Ingress {
        namespace: if random.chance(75) { "oracle" } else { "oracle-b" }.to_owned(),
        name: format!("{}{number}", random.pick(&["i", "z", "a.b"])),
        created: random.below(3) as u64,
        default_backend,
        rules: (0..count).map(|_| rule(random, backends)).collect(),
    }
}

fn rule(random: &mut Random, backends: &mut usize) -> HostRule {
    let host = if random.chance(15) { None } else { Some(random.word(&HOSTS).to_owned()) };
    let count = random.between(1, 4);
    let paths = (0..count).map(|_| path(random, backends)).collect();
    HostRule { host, paths: if random.chance(5) { None } else { Some(paths) } }
}

fn path(random: &mut Random, backends: &mut usize) -> Path {
    let kind = *random.pick(&[PathType::Exact, PathType::Prefix, PathType::Prefix, PathType::ImplementationSpecific]);
    let path = if random.chance(20) { "/" } else { random.word(&PATHS) };
    Path { kind, path: path.to_owned(), backend: target(random, backends) }
}

fn target(random: &mut Random, backends: &mut usize) -> Target {
    let service = match random.below(100) {
        0..5 => return Target::Resource,
        5..10 => Service::Missing,
        10..15 => Service::Idle,
        _ => {
            *backends += 1;
            Service::Live(*backends - 1)
        }
    };
    Target::Service(service, random.chance(40))
}

/// `count` requests to a set.
pub fn requests(set: &[Ingress], seed: u64, count: usize) -> Vec<Request> {
    let mut random = Random::new(seed ^ 0x0a5c);
    (0..count).map(|_| request(set, &mut random)).collect()
}

fn request(set: &[Ingress], random: &mut Random) -> Request {
    let rules: Vec<_> = set.iter().flat_map(|ingress| &ingress.rules).collect();
    let aim = if rules.is_empty() { None } else { Some(*random.pick(&rules)) };
    let declared = aim.and_then(|rule| rule.host.clone()).filter(|_| random.chance(85));
    let mut host = declared.unwrap_or_else(|| random.word(&HOSTS).to_owned());
    if let Some(suffix) = host.strip_prefix("*.") {
        host = if random.chance(10) { suffix.to_owned() } else { format!("{}.{suffix}", random.word(&LABELS)) };
    }
    match random.below(20) {
        0 => host = host.to_ascii_uppercase(),
        1 => host.push_str(":8080"),
        2 => host.insert_str(0, "c."),
        _ => {}
    }
    let paths: Vec<_> = aim.into_iter().flat_map(|rule| rule.paths.iter().flatten()).map(|path| path.path.as_str()).collect();
    let path = if paths.is_empty() || random.chance(15) { random.word(&PATHS) } else { random.word(&paths) };
    let target = format!("{path}{}", random.word(&TAILS));
    let method = random.word(&["GET", "GET", "POST", "DELETE"]).to_owned();
    Request { port: 0, method, target, host: Some(host), headers: Vec::new() }
}

/// The set without one of its parts.
pub fn smaller(set: &[Ingress]) -> Vec<Vec<Ingress>> {
    let mut all = Vec::new();
    for at in 0..set.len() {
        let mut less = set.to_vec();
        let removed = less.remove(at);
        all.push(less);
        let least = usize::from(removed.default_backend.is_none());
        for rule in 0..removed.rules.len() {
            let mut less = set.to_vec();
            if removed.rules.len() > least {
                less[at].rules.remove(rule);
                all.push(less);
            }
            for path in 0..removed.rules[rule].paths.iter().flatten().count() {
                let mut less = set.to_vec();
                let paths = less[at].rules[rule].paths.as_mut().unwrap();
                if paths.len() > 1 {
                    paths.remove(path);
                    all.push(less);
                }
            }
        }
    }
    all
}
