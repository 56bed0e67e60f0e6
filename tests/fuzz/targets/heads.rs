//! HTTP hygiene: whatever head comes in, the one that goes out is valid, names one host, frames its body in one way, and has no
//! field of another connection and none that the client may not say.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version, header, request};
use hyper::ext::Protocol;
use kakehi::filter::hygiene::{Connection, HOP, Upgrade, admit, clean, clean_trailers, clean_upgraded, forwarded, hop_port, towards_h1, towards_h2};
use libfuzzer_sys::fuzz_target;

/// Fields of one connection.
const HOP_BY_HOP: [&str; 5] = ["keep-alive", "proxy-connection", "http2-settings", "expect", "x-kakehi-hop"];
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let start: Vec<&[u8]> = lines.next().unwrap_or_default().split(|byte| *byte == b' ').collect();
    let mut fields = HeaderMap::new();
    for line in lines.take(128) {
        let Some(colon) = line.iter().skip(1).position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon + 1);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value[1..].trim_ascii())) {
            fields.append(name, value);
        }
    }
    let [first, target, ..] = start[..] else { return };
    let version = match start.get(2) {
        Some(&b"HTTP/2") => Version::HTTP_2,
        Some(&b"HTTP/1.0") => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    if first.starts_with(b"HTTP/") {
        return answer(target, version, fields);
    }
    let (Ok(method), Ok(uri)) = (Method::from_bytes(first), Uri::try_from(target)) else { return };
    let mut parts = Request::builder().method(method).uri(uri).version(version).body(()).unwrap().into_parts().0;
    if version == Version::HTTP_2 && parts.method == Method::CONNECT {
        parts.extensions.insert(Protocol::from_static("websocket"));
    }
    parts.headers = fields;
    request(parts);
});

fn request(mut parts: request::Parts) {
    let body = parts.headers.contains_key(header::TRANSFER_ENCODING) || parts.headers.contains_key(header::CONTENT_LENGTH);
    let nominated = nominated(&parts.headers);
    trailers(parts.headers.clone());
    let Ok(upgrade) = admit(&mut parts, body) else { return };
    assert!(upgrade.is_none() || !body || parts.version == Version::HTTP_2);
    // Over a hop the field is read and taken out, elsewhere it is taken out unread.
    let _port = hop_port(&mut parts.headers);
    let server: SocketAddr = "10.0.0.1:443".parse().unwrap();
    forwarded(&mut parts.headers, &Connection::new(CLIENT, server, true), None, 1);
    let of = |name: &str| parts.headers.get_all(name).iter().collect::<Vec<_>>();
    for (name, value) in [("x-real-ip", "192.0.2.7"), ("x-forwarded-proto", "https"), ("x-forwarded-port", "443")] {
        assert!(matches!(of(name)[..], [said] if said == value), "{name}: {:?}", of(name));
    }
    assert!(of("x-forwarded-for").len() == 1 && of("x-forwarded-for")[0].as_bytes().ends_with(b"192.0.2.7"));
    assert!(of("forwarded").is_empty() && of("x-forwarded-host").is_empty());
    assert!(parts.uri.path().starts_with('/') || (parts.uri.path() == "*" && parts.method == Method::OPTIONS));
    assert!(parts.uri.authority().is_none() && parts.method != Method::CONNECT);
    for name in nominated {
        assert!(!parts.headers.contains_key(&name), "{name} was nominated");
    }
    let mut to_h2 = parts.clone();
    let streamed = body && !parts.headers.contains_key(header::CONTENT_LENGTH);
    towards_h1(&mut parts, streamed, upgrade.as_ref());
    clean_head(&parts.headers, upgrade.as_ref());
    assert_eq!(parts.headers.get_all(header::HOST).iter().count(), 1);
    let framings = parts.headers.get_all(header::CONTENT_LENGTH).iter().count() + parts.headers.get_all(header::TRANSFER_ENCODING).iter().count();
    assert!(framings == usize::from(body));
    read_back(&format!("{} {} HTTP/1.1", parts.method, parts.uri), &parts.headers, |head, fields| {
        let mut request = httparse::Request::new(fields);
        assert!(request.parse(head).unwrap().is_complete());
        request.headers.len()
    });
    if towards_h2(&mut to_h2, upgrade.as_ref()).is_ok() {
        clean_head(&to_h2.headers, None);
        assert!(to_h2.uri.authority().is_some() && !to_h2.headers.contains_key(header::HOST));
        assert!((to_h2.method == Method::CONNECT) == upgrade.is_some());
    }
}

fn answer(status: &[u8], version: Version, fields: HeaderMap) {
    let Ok(answer) = Response::builder().status(status).version(version).body(()) else { return };
    let mut parts = answer.into_parts().0;
    parts.headers = fields;
    let mut upgraded = parts.clone();
    clean(&mut parts);
    parts.headers.remove(header::EXPECT);
    parts.headers.remove(HOP);
    clean_head(&parts.headers, None);
    assert!(!parts.headers.contains_key(header::TRANSFER_ENCODING));
    assert!(parts.headers.get_all(header::CONTENT_LENGTH).iter().count() <= 1);
    read_back(&format!("HTTP/1.1 {}", parts.status.as_u16()), &parts.headers, |head, fields| {
        let mut answer = httparse::Response::new(fields);
        assert!(answer.parse(head).unwrap().is_complete());
        answer.headers.len()
    });
    let websocket = Request::builder().uri("/").header("host", "h").header("connection", "upgrade").header("upgrade", "websocket");
    let asked = admit(&mut websocket.body(()).unwrap().into_parts().0, false).unwrap().unwrap();
    clean_upgraded(&mut upgraded, &asked);
    assert!(upgraded.status == 101 && !upgraded.headers.contains_key(header::CONTENT_LENGTH));
    assert!(upgraded.headers[header::CONNECTION] == "upgrade" && upgraded.headers.get_all(header::UPGRADE).iter().count() == 1);
}

fn trailers(mut fields: HeaderMap) {
    clean_trailers(&mut fields);
    for name in ["host", "content-length", "transfer-encoding", "connection", "upgrade", "x-real-ip", "x-forwarded-for", "x-request-id"] {
        assert!(!fields.contains_key(name), "trailer {name}");
    }
}

/// Fields that `Connection` names and that are not kept by right.
fn nominated(fields: &HeaderMap) -> Vec<HeaderName> {
    let kept = ["te", "upgrade", "close", "keep-alive", "connection"];
    let tokens = fields.get_all(header::CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let names = tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok());
    // The edge says these itself.
    names.filter(|name| !kept.contains(&name.as_str()) && !name.as_str().starts_with("x-forwarded-")).filter(|name| name != "x-real-ip").collect()
}

/// No field of another connection; those of this one say only what they must.
fn clean_head(fields: &HeaderMap, upgrade: Option<&Upgrade>) {
    for name in HOP_BY_HOP {
        assert!(!fields.contains_key(name), "{name}");
    }
    assert!(fields.get_all(header::TE).iter().all(|te| te == "trailers"));
    assert!(fields.get_all(header::TRANSFER_ENCODING).iter().all(|coding| coding == "chunked"));
    let connection = fields.get_all(header::CONNECTION).iter().collect::<Vec<_>>();
    match upgrade {
        Some(upgrade) => assert!(connection == ["upgrade"] && fields.get_all(header::UPGRADE).iter().eq([&upgrade.protocol])),
        None => assert!(!fields.contains_key(header::UPGRADE) && (connection.is_empty() || connection == ["te"])),
    }
}

/// What another parser reads has as many fields.
fn read_back(start: &str, fields: &HeaderMap, parse: impl for<'a, 'h> Fn(&'h [u8], &'a mut [httparse::Header<'h>]) -> usize) {
    let mut head = format!("{start}\r\n").into_bytes();
    for (name, value) in fields {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    assert_eq!(parse(&head, &mut [httparse::EMPTY_HEADER; 160]), fields.len());
}
