//! A Python application, to which fields are variables: `X_Real_IP` and `X-Real-IP` are one, and lines of one name are joined by
//! commas.

use std::process::Command;

use serde_json::Value;

use crate::programs::{Program, source};
use crate::rig::Rig;
use crate::stage::Stage;
use crate::tools::fetch;

/// What the application says that it was told; nothing without curl.
fn saw(rig: &Rig, secure: bool, more: &[&str]) -> Option<Value> {
    let said = fetch(rig, secure, "/application", more)?;
    let (saw, status) = said.rsplit_once('\n').unwrap();
    assert!(status.ends_with(" 200"), "{more:?}: {said}");
    Some(serde_json::from_str(saw).unwrap())
}

/// Ways to speak to a stage: the TLS port or not, and the version.
fn ways(stage: Stage) -> Vec<(bool, &'static str)> {
    let mut ways = vec![(false, "--http1.1"), (true, "--http1.1"), (true, "--http2")];
    ways.extend((stage == Stage::Relay).then_some((false, "--http2-prior-knowledge")));
    ways
}

#[test]
fn an_application_of_wsgi_is_told_what_was_sent_and_by_whom() {
    let Some(program) = Program::start(Command::new("python3").arg(source("application.py"))) else { return };
    let manifests = [crate::backends::routed("application", program.at, None)];
    for stage in Stage::ALL {
        let rig = stage.start(&manifests);
        for (secure, version) in ways(stage) {
            let context = format!("{stage:?} {secure} {version}");
            let proto = if secure { "https" } else { "http" };
            // Over HTTP/2 a client may send cookies in fields of their own (RFC 9113 §8.2.3).
            let cookies: &[&str] = match version {
                "--http1.1" => &["-H", "Cookie: session=abc; csrf=xyz"],
                _ => &["-H", "Cookie: session=abc", "-H", "Cookie: csrf=xyz"],
            };
            let Some(told) = saw(&rig, secure, &[&[version], cookies].concat()) else { return };
            assert_eq!(told["HTTP_COOKIE"], "session=abc; csrf=xyz", "{context}");
            assert_eq!((&told["HTTP_X_REAL_IP"], &told["HTTP_X_FORWARDED_PROTO"]), (&"127.0.0.1".into(), &proto.into()), "{context}");

            for twin in TWINS {
                let told = saw(&rig, secure, &[version, "-H", &format!("{twin}: 6.6.6.6")]).unwrap();
                assert!(!told.to_string().contains("6.6.6.6"), "{context} {twin}: {told}");
                assert_eq!(told["HTTP_X_REAL_IP"], "127.0.0.1", "{context} {twin}");
            }

            // Over HTTP/1.1 curl says itself that there is no body; over HTTP/2 it says nothing.
            let bodyless: &[&str] = if version == "--http1.1" { &["--data-binary", ""] } else { &["-X", "POST"] };
            let told = saw(&rig, secure, &[&[version], bodyless].concat()).unwrap();
            assert_eq!((&told["CONTENT_LENGTH"], &told["read"]), (&"0".into(), &0.into()), "{context}");
            let told = saw(&rig, secure, &[version, "--data-binary", "some text"]).unwrap();
            assert_eq!((&told["CONTENT_LENGTH"], &told["read"]), (&"9".into(), &9.into()), "{context}");
        }
    }
}

/// Names that an application reads as one that is the edge's to say.
const TWINS: [&str; 10] = [
    "X_Real_IP",
    "X_Real-IP",
    "X-Real_IP",
    "X_Forwarded_For",
    "X_Forwarded-For",
    "X-Forwarded_For",
    "X_Forwarded_Proto",
    "X_Forwarded-Proto",
    "X-Forwarded_Proto",
    "X-Original-URL",
];
