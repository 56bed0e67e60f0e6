//! Compares what came over the wire with what the oracle permits.

use super::client::Answer;
use super::generate::HEADERS;
use super::naive::{self, Verdict};
use super::world::{Edit, Request, World};

/// A request as it arrived at a test backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    pub backend: usize,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
}

/// The request that reached a backend, if one did.
pub fn arrived(answer: &Answer) -> Option<Arrived> {
    let backend = answer.header("x-oracle-backend")?.parse().ok()?;
    let hex = answer.header("x-oracle-head")?.as_bytes();
    let bytes: Option<Vec<u8>> =
        hex.chunks(2).map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())).collect();
    let text = String::from_utf8_lossy(&bytes?).into_owned();
    let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Some(Arrived { backend, method, target, headers })
}

/// Answers that Sōzu gives by itself before any route counts, whatever stage serves the host: (status, reason).
pub fn documented(request: &Request) -> Option<(u16, &'static str)> {
    // The authority of an absolute target stands in for whatever `Host` says.
    let relative = !request.target.contains("://") || request.target.starts_with('/');
    let plain = request.host.as_deref().is_some_and(plain_authority);
    let table = [
        (request.host.is_none(), 400, "a request without Host is malformed (RFC 9112, 3.2)"),
        (relative && !plain, 400, "Sōzu takes only names of letters, digits, dots and hyphens in Host"),
        (!request.target.is_ascii(), 400, "Sōzu takes no byte above 127 in a target (RFC 3986 has none)"),
    ];
    table.into_iter().find(|(applies, _, _)| *applies).map(|(_, status, reason)| (status, reason))
}

fn plain_authority(authority: &str) -> bool {
    let (name, port) = authority.split_once(':').unwrap_or((authority, "80"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    !name.is_empty() && name.bytes().all(plain) && port.parse::<u16>().is_ok()
}

/// What the oracle permits, and what else either stage may do with a target that no client may send (RFC 9112, 3.2):
/// - Sōzu takes `#` for a byte like any other, the filter proxy cuts the target there (the `http` crate's way).
/// - Sōzu sends `<`, `>`, `"` and a backquote on, the filter proxy answers 400.
pub fn permitted(world: &World, ports: &[u16], request: &Request) -> Vec<Verdict> {
    let mut permitted = naive::decide(world, ports, request);
    if let Some(at) = request.target.find('#') {
        let cut = Request { target: request.target[..at].to_owned(), ..request.clone() };
        permitted.extend(naive::decide(world, ports, &cut));
    }
    if request.target.contains(['<', '>', '"', '`']) {
        permitted.push(Verdict::Answer(400));
    }
    permitted
}

/// Whether `answer` is one of the permitted outcomes; if not, what is wrong with it compared with each.
pub fn check(permitted: &[Verdict], request: &Request, answer: &Answer) -> Result<(), String> {
    if let Some((status, reason)) = documented(request) {
        return if answer.status == status { Ok(()) } else { Err(format!("expected {status}: {reason}")) };
    }
    complain(permitted, request, answer)
}

/// The same where Sōzu does not read the request: what it would refuse is decided, or refused too.
pub fn check_relayed(permitted: &[Verdict], request: &Request, answer: &Answer) -> Result<(), String> {
    match documented(request) {
        Some((status, _)) if answer.status == status => Ok(()),
        _ => complain(permitted, request, answer),
    }
}

fn complain(permitted: &[Verdict], request: &Request, answer: &Answer) -> Result<(), String> {
    let complaints: Vec<_> = permitted.iter().map(|verdict| compare(verdict, request, answer)).collect();
    if complaints.iter().any(Option::is_none) {
        return Ok(());
    }
    Err(complaints.into_iter().flatten().collect::<Vec<_>>().join("; or "))
}

fn compare(verdict: &Verdict, request: &Request, answer: &Answer) -> Option<String> {
    let arrived = arrived(answer);
    match verdict {
        Verdict::Answer(status) => differs("status", *status, if arrived.is_some() { 0 } else { answer.status }),
        Verdict::Redirect { status, location } => differs("status", *status, answer.status)
            .or_else(|| differs("location", lower_authority(location), lower_authority(answer.header("location").unwrap_or_default()))),
        Verdict::Forward { backend, target, host, headers, response } => {
            let Some(arrived) = arrived else { return Some(format!("expected backend {backend}, got {} by the proxy", answer.status)) };
            differs("status", 200, answer.status)
                .or_else(|| differs("backend", *backend, arrived.backend))
                .or_else(|| differs("method", &request.method, &arrived.method))
                .or_else(|| differs("target", target, &origin_form(&arrived.target)))
                .or_else(|| differs("host", host, &arrived_host(&arrived)))
                .or_else(|| differs("request headers", selected(headers), selected(&joined(&arrived.headers))))
                .or_else(|| differs("response headers", edited(response), selected(&joined(&answer.headers))))
        }
    }
}

fn differs<T: PartialEq + std::fmt::Debug>(what: &str, expected: T, found: T) -> Option<String> {
    if expected == found { None } else { Some(format!("expected {what} {expected:?}, got {found:?}")) }
}

/// An absolute target that Sōzu forwards as it came names the same resource.
fn origin_form(target: &str) -> String {
    if target.starts_with('/') || !target.contains("://") {
        return target.to_owned();
    }
    let (path, query) = naive::path_and_query(target);
    path + &query
}

/// Every `Host` line of the request, lower-case and without port: two of them are an error that shows.
fn arrived_host(arrived: &Arrived) -> String {
    let lines = arrived.headers.iter().filter(|(name, _)| name == "host");
    let without_port = |host: &str| match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name.to_ascii_lowercase(),
        _ => host.to_ascii_lowercase(),
    };
    let lines = lines.map(|(_, host)| without_port(host));
    lines.collect::<Vec<_>>().join(" and ")
}

fn lower_authority(location: &str) -> String {
    let start = location.find("://").map_or(0, |at| at + 3);
    let end = location[start..].find(['/', '?']).map_or(location.len(), |at| start + at);
    format!("{}{}", location[..end].to_ascii_lowercase(), &location[end..])
}

/// Lines of one name joined; white space after a comma carries no meaning.
fn joined(lines: &[(String, String)]) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in lines {
        match headers.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = format!("{old},{value}"),
            None => headers.push((name.clone(), value.clone())),
        }
    }
    headers
}

/// The headers that worlds match and edit, in one order.
fn selected(headers: &[(String, String)]) -> Vec<(String, String)> {
    let mut chosen: Vec<(String, String)> =
        headers.iter().filter(|(name, _)| HEADERS.iter().any(|header| header.eq_ignore_ascii_case(name))).cloned().collect();
    for (_, value) in &mut chosen {
        *value = value.replace(", ", ",");
    }
    chosen.sort();
    chosen
}

/// What the test backend sends, after a rule's edit.
fn edited(edit: &Edit) -> Vec<(String, String)> {
    let mut headers = vec![("x-one".to_owned(), "upstream".to_owned()), ("x-two".to_owned(), "upstream".to_owned())];
    naive::apply(edit, &mut headers);
    selected(&headers)
}
