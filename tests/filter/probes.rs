//! What a hostile or broken peer sends, byte for byte: nothing of it may change how the next request is read.
//!
//! Each probe is a raw text to the proxy and a raw answer of the backend; it says what the client must get, and what of
//! it the backend may or may not see.

use std::time::Duration;

use crate::harness::{Proxy, backend, listener, route, rule, to};
use crate::logger::Logger;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HEAD: &str = "Host: h\r\nX-Kakehi-Hop: 8080\r\n";
const SILENCE: Duration = Duration::from_millis(300);

struct Probe {
    name: &'static str,
    /// `{}` stands for the fields that every good request has.
    send: &'static str,
    answer: &'static str,
    /// Start of what the client reads.
    status: &'static str,
    /// In what the client reads, lower-cased.
    client: &'static [&'static str],
    /// Not in it.
    client_not: &'static [&'static str],
    /// In what the backend reads, lower-cased; nothing at all arrives when this is empty.
    backend: &'static [&'static str],
    /// Not in it.
    backend_not: &'static [&'static str],
}

const BASE: Probe = Probe {
    name: "",
    send: "",
    answer: OK,
    status: "HTTP/1.1 200",
    client: &[],
    client_not: &[],
    backend: &["/p http/1.1\r\n"],
    backend_not: &[],
};

/// A request that is refused before anything reaches the backend.
const fn refused(name: &'static str, send: &'static str) -> Probe {
    Probe { name, send, status: "HTTP/1.1 400", backend: &[], ..BASE }
}

const PROBES: &[Probe] = &[
    Probe {
        name: "length beside chunked: chunked wins, the length goes, the connection closes",
        send: "POST /p HTTP/1.1\r\n{}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nGET /q HTTP/1.1\r\n{}\r\n",
        backend: &["transfer-encoding: chunked", "2\r\nab\r\n0\r\n"],
        backend_not: &["content-length", "/q"],
        ..BASE
    },
    refused("two different lengths", "POST /p HTTP/1.1\r\n{}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    refused("a signed length", "POST /p HTTP/1.1\r\n{}Content-Length: +3\r\n\r\nabc"),
    refused("a list of lengths", "POST /p HTTP/1.1\r\n{}Content-Length: 3, 3\r\n\r\nabc"),
    refused("an unknown transfer coding", "POST /p HTTP/1.1\r\n{}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    refused("chunked is not the last coding", "POST /p HTTP/1.1\r\n{}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    refused("space before the colon", "POST /p HTTP/1.1\r\n{}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    refused("transfer coding on HTTP/1.0", "POST /p HTTP/1.0\r\n{}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    refused("a folded field", "GET /p HTTP/1.1\r\n{}X-Folded: a\r\n b\r\n\r\n"),
    refused("NUL in a field", "GET /p HTTP/1.1\r\n{}X-Nul: a\0b\r\n\r\n"),
    refused("two hosts", "GET /p HTTP/1.1\r\n{}Host: h\r\n\r\n"),
    refused("no host", "GET /p HTTP/1.1\r\nX-Kakehi-Hop: 8080\r\n\r\n"),
    refused("a host with a path", "GET /p HTTP/1.1\r\nHost: h/x\r\nX-Kakehi-Hop: 8080\r\n\r\n"),
    refused("Connection nominates Host", "GET /p HTTP/1.1\r\n{}Connection: Host, X-Hop\r\nX-Hop: 1\r\n\r\n"),
    Probe {
        name: "what the edge says outlives its nomination",
        send: "GET /p HTTP/1.1\r\n{}X-Real-IP: 1.1.1.1\r\nX-Own: 1\r\nConnection: X-Real-IP, X-Kakehi-Hop\r\nConnection: X-Own\r\nX-End: 1\r\n\r\n",
        backend: &["x-real-ip: 1.1.1.1", "x-end: 1"],
        backend_not: &["x-own", "connection:"],
        ..BASE
    },
    Probe {
        name: "underscore twins and claims go",
        send: "GET /p HTTP/1.1\r\n{}X_Real_IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nContent_Length: 9\r\nX-Original-URL: /admin\r\nX-Forwarded-Prefix: /x\r\nX-Rewrite-URL: /x\r\nuser_id: 7\r\nX-End: 1\r\n\r\n",
        backend: &["user_id: 7", "x-end: 1"],
        backend_not: &["x_", "6.6.6.6", "content", "x-original", "x-forwarded-prefix", "x-rewrite"],
        ..BASE
    },
    Probe {
        name: "what Java's client asks for by default",
        send: "GET /p HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\n{}HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\nUser-Agent: Java-http-client/17.0.11\r\n\r\n",
        backend: &["user-agent: java"],
        backend_not: &["upgrade", "http2-settings", "connection"],
        ..BASE
    },
    Probe { status: "HTTP/1.1 405", ..refused("CONNECT", "CONNECT h:80 HTTP/1.1\r\n{}\r\n") },
    Probe { status: "HTTP/1.1 417", ..refused("an unknown expectation", "GET /p HTTP/1.1\r\n{}Expect: tea\r\n\r\n") },
    Probe { status: "HTTP/1.1 404", ..refused("a second hop port", "GET /p HTTP/1.1\r\n{}X-Kakehi-Hop: 80\r\n\r\n") },
    Probe {
        name: "the authority of an absolute target wins over Host",
        send: "GET http://other.example/p HTTP/1.1\r\n{}\r\n",
        backend: &["get /p http/1.1\r\n", "host: other.example\r\n"],
        backend_not: &["host: h\r\n"],
        ..BASE
    },
    Probe {
        name: "bare line feeds in the head are read and written as CRLF",
        send: "GET /p HTTP/1.1\nHost: h\nX-Kakehi-Hop: 8080\nX-Last: 1\n\n",
        backend: &["get /p http/1.1\r\n", "x-last: 1\r\n"],
        ..BASE
    },
    Probe {
        name: "a GET with a body keeps it",
        send: "GET /p HTTP/1.1\r\n{}Content-Length: 3\r\n\r\nabc",
        backend: &["content-length: 3", "\r\n\r\nabc"],
        ..BASE
    },
    Probe {
        name: "a GET with a chunked body keeps it",
        send: "GET /p HTTP/1.1\r\n{}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        backend: &["transfer-encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"],
        ..BASE
    },
    Probe {
        name: "nominated and hop-by-hop fields stay here",
        send: "GET /p HTTP/1.1\r\n{}Connection: X-Own, keep-alive\r\nX-Own: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: gzip\r\nX-End: 1\r\n\r\n",
        backend: &["x-end: 1"],
        backend_not: &["x-own", "keep-alive", "proxy-connection", "te: ", "connection:", "x-kakehi-hop"],
        ..BASE
    },
    Probe {
        name: "an upgrade to h2c is not offered",
        send: "GET /p HTTP/1.1\r\n{}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX-End: 1\r\n\r\n",
        backend: &["x-end: 1"],
        backend_not: &["upgrade", "http2-settings", "h2c"],
        ..BASE
    },
    Probe {
        name: "bytes after a refused upgrade are the next request, not a tunnel",
        send: "GET /p HTTP/1.1\r\n{}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n",
        client: &["http/1.1 200", "http/1.1 404"],
        backend_not: &["/nowhere"],
        ..BASE
    },
    Probe {
        name: "an upgrade nobody asked for is a broken answer",
        send: "GET /p HTTP/1.1\r\n{}\r\n",
        answer: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbytes",
        status: "HTTP/1.1 502",
        client_not: &["bytes", "101"],
        ..BASE
    },
    Probe {
        name: "100-continue is answered here and not sent on",
        send: "POST /p HTTP/1.1\r\n{}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        status: "HTTP/1.1 100",
        client: &["http/1.1 200"],
        backend: &["content-length: 3", "\r\n\r\nabc"],
        backend_not: &["expect"],
        ..BASE
    },
    Probe {
        name: "a response with two lengths is broken",
        send: "GET /p HTTP/1.1\r\n{}\r\n",
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        status: "HTTP/1.1 502",
        ..BASE
    },
    Probe {
        name: "a response with length and chunked is chunked",
        send: "GET /p HTTP/1.1\r\n{}\r\n",
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        client: &["transfer-encoding: chunked", "2\r\nab\r\n0\r\n\r\n"],
        client_not: &["content-length"],
        ..BASE
    },
    Probe {
        name: "hop-by-hop fields of a response stay here",
        send: "GET /p HTTP/1.1\r\n{}\r\n",
        answer: "HTTP/1.1 200 OK\r\nConnection: X-Own, keep-alive\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok",
        client: &["x-end: 1", "\r\n\r\nok"],
        client_not: &["x-own", "keep-alive"],
        ..BASE
    },
    Probe {
        name: "an answer that is no HTTP is broken",
        send: "GET /p HTTP/1.1\r\n{}\r\n",
        answer: "SSH-2.0-OpenSSH\r\n\r\n",
        status: "HTTP/1.1 502",
        ..BASE
    },
    Probe {
        name: "two answers to one request: the second reaches nobody",
        send: "GET /p HTTP/1.1\r\n{}\r\nGET /p HTTP/1.1\r\n{}X-Second: 1\r\n\r\n",
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        client_not: &["evil"],
        ..BASE
    },
];

/// A broken body: the head has been passed on by then, so the backend sees a part, but never an end.
const BROKEN_BODIES: &[(&str, &str)] = &[
    ("a chunk size that is no number", "0x3\r\nabc\r\n0\r\n\r\n"),
    ("a line feed in a chunk extension", "3;a\nb\r\nabc\r\n0\r\n\r\n"),
    ("a chunk longer than it says", "2\r\nabc\r\n0\r\n\r\n"),
    ("a chunk size beyond 64 bits", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
];

async fn proxy(logger: &Logger) -> Proxy {
    Proxy::start([listener(), backend("s", &[logger.address]), route(vec![rule("/p", Vec::new(), to("s"))])]).await
}

/// What is wrong, for people; nothing when all is well.
async fn run(probe: &Probe) -> Option<String> {
    let mut logger = Logger::start(probe.answer, false).await;
    let proxy = proxy(&logger).await;
    let answer = proxy.raw(probe.send.replace("{}", HEAD).as_bytes(), SILENCE).await;
    let log = logger.log(probe.backend.last().copied().unwrap_or_default()).await.to_lowercase();
    let lower = answer.to_lowercase();
    let mut wrong = Vec::new();
    if !answer.starts_with(probe.status) {
        wrong.push(format!("the client expects {:?}", probe.status));
    }
    if probe.backend.is_empty() && !log.is_empty() {
        wrong.push("something reached the backend".to_owned());
    }
    let missing = |text: &str, parts: &[&'static str]| parts.iter().copied().find(|part| !text.contains(part));
    let leaked = |text: &str, parts: &[&'static str]| parts.iter().copied().find(|part| text.contains(part));
    wrong.extend(missing(&lower, probe.client).map(|part| format!("the client lacks {part:?}")));
    wrong.extend(leaked(&lower, probe.client_not).map(|part| format!("the client has {part:?}")));
    wrong.extend(missing(&log, probe.backend).map(|part| format!("the backend lacks {part:?}")));
    wrong.extend(leaked(&log, probe.backend_not).map(|part| format!("the backend has {part:?}")));
    (!wrong.is_empty()).then(|| format!("## {}: {}\n-- client\n{answer}\n-- backend\n{log}\n", probe.name, wrong.join("; ")))
}

#[tokio::test]
async fn every_probe_is_harmless() {
    assert!(PROBES.len() + BROKEN_BODIES.len() >= 28);
    let mut wrong = Vec::new();
    for chunk in PROBES.chunks(8) {
        wrong.extend(futures::future::join_all(chunk.iter().map(run)).await.into_iter().flatten());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_broken_body_never_ends_at_the_backend() {
    for (name, body) in BROKEN_BODIES {
        // The backend answers nothing: it waits for the end of the request.
        let mut logger = Logger::start("", false).await;
        let proxy = proxy(&logger).await;
        let request =
            format!("POST /p HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n{body}GET /p HTTP/1.1\r\n{HEAD}X-Next: 1\r\n\r\n");
        let answer = proxy.raw(request.as_bytes(), SILENCE).await;
        let log = logger.log("\r\n\r\n").await.to_lowercase();
        assert!(answer.starts_with("HTTP/1.1 400"), "{name}: {answer}");
        assert!(!log.contains("\r\n0\r\n\r\n") && !log.contains("x-next"), "{name}: {log}");
    }
}
