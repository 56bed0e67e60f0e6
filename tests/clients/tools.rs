//! The tools that people try things with: curl, h2load and openssl.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::programs::lacks;
use crate::rig::{Rig, free_port};
use crate::stage::{SECURE, Stage, host};

/// Runs a tool; nothing when this machine does not have it, where that is allowed.
pub fn run(tool: &str, arguments: &[&str], input: &str) -> Option<Output> {
    let spawned = Command::new(tool).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return lacks(tool, &error),
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap_or_default();
    Some(child.wait_with_output().unwrap())
}

/// The address of a path for clients that resolve names themselves.
pub fn url(rig: &Rig, secure: bool, path: &str) -> String {
    let (scheme, port) = if secure { ("https", rig.ports.https) } else { ("http", rig.ports.http) };
    format!("{scheme}://{}:{port}{path}", host(secure))
}

/// What curl gets of a path, and in the last line the version of HTTP and the status.
pub fn fetch(rig: &Rig, secure: bool, path: &str, more: &[&str]) -> Option<String> {
    let port = if secure { rig.ports.https } else { rig.ports.http };
    let (resolve, url) = (format!("{}:{port}:127.0.0.1", host(secure)), url(rig, secure, path));
    let authority = rig.config().join("demo-ca.crt");
    let mut arguments = vec!["-sS", "-m", "20", "-w", "\n%{http_version} %{http_code}", "--noproxy", "*"];
    arguments.extend(["--resolve", &resolve, "--cacert", authority.to_str().unwrap(), &url]);
    arguments.extend(more);
    let output = run("curl", &arguments, "")?;
    Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

/// Version of HTTP and status, as curl saw them.
fn curl(rig: &Rig, secure: bool, more: &[&str]) -> Option<String> {
    let said = fetch(rig, secure, "/", &[&["-o", "/dev/null"], more].concat())?;
    Some(said.trim_start().to_owned())
}

#[test]
fn curl_speaks_every_version_that_a_port_has() {
    let body = tempfile::NamedTempFile::new().unwrap();
    fs::write(body.path(), vec![b'x'; 3 << 20]).unwrap();
    let upload = format!("@{}", body.path().display());
    for stage in Stage::ALL {
        let rig = stage.start(&[]);
        for secure in [false, true] {
            // curl waits for 100 Continue before it sends a large body.
            let expecting = ["--http1.1", "-H", "Expect: 100-continue", "--expect100-timeout", "15", "--data-binary", &upload];
            for more in [&["--http1.1"][..], &expecting] {
                let Some(saw) = curl(&rig, secure, more) else { return };
                assert_eq!(saw, "1.1 200", "{stage:?} {secure} {more:?}");
            }
        }
        assert_eq!(curl(&rig, true, &["--http2"]).unwrap(), "2 200", "{stage:?}");
        assert_eq!(curl(&rig, true, &["--http2", "--data-binary", &upload]).unwrap(), "2 200", "{stage:?}");
        // An upgrade to h2c is not taken, and does not fail either.
        assert_eq!(curl(&rig, false, &["--http2"]).unwrap(), "1.1 200", "{stage:?}");
        let known = curl(&rig, false, &["--http2-prior-knowledge"]).unwrap();
        match stage {
            Stage::Relay => assert_eq!(known, "2 200"),
            Stage::Native | Stage::Hop => assert!(known.starts_with("0 000"), "Sōzu has no h2c: {known}"),
        }
    }
}

#[test]
fn h2load_loses_nothing() {
    const LOAD: [&str; 6] = ["-n", "2000", "-c", "8", "-m", "16"];
    for stage in Stage::ALL {
        let rig = stage.start(&[]);
        let (http, https) = (rig.ports.http, rig.ports.https);
        let plain = (format!("--connect-to=127.0.0.1:{http}"), format!("http://demo.localhost:{http}/"));
        let secure = (format!("--connect-to=127.0.0.1:{https}"), format!("https://{SECURE}:{https}/"));
        for (to, url) in [secure, plain].into_iter().take(if stage == Stage::Relay { 2 } else { 1 }) {
            let Some(output) = run("h2load", &[&LOAD[..], &[&to, &url]].concat(), "") else { return };
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains("2000 succeeded, 0 failed, 0 errored"), "{stage:?} {url}: {said}");
            assert!(said.contains("status codes: 2000 2xx"), "{stage:?} {url}: {said}");
        }
    }
}

/// A Gateway whose only listener has no hostname.
fn nameless(port: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: nameless, namespace: demo}}
spec:
  gatewayClassName: kakehi
  listeners: [{{name: https, port: {port}, protocol: HTTPS, tls: {{certificateRefs: [{{name: one}}]}}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: nameless, namespace: demo}}
spec:
  parentRefs: [{{name: nameless}}]
  rules: [{{backendRefs: [{{name: blue, port: 80}}]}}]
"
    )
}

/// What openssl says of a request by a connection with or without a name.
fn s_client(rig: &Rig, port: u16, name: Option<&str>) -> Option<String> {
    let (address, authority) = (format!("127.0.0.1:{port}"), rig.config().join("demo-ca.crt"));
    let mut arguments = vec!["s_client", "-connect", &address, "-CAfile", authority.to_str().unwrap(), "-ign_eof", "-alpn", "http/1.1"];
    arguments.extend(name.map_or(vec!["-noservername"], |name| vec!["-servername", name]));
    let output = run("openssl", &arguments, "GET / HTTP/1.1\r\nHost: one.localhost\r\nConnection: close\r\n\r\n")?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn openssl_without_a_name_is_served_where_a_listener_has_none() {
    let port = free_port();
    let rig = Stage::Native.start(&[nameless(port)]);
    rig.status("Gateway/demo/nameless.yaml", |text| text.contains("Programmed"));
    let named = ["one.localhost", "anything.example"].map(Some);
    for name in [None].into_iter().chain(named) {
        let Some(mut said) = s_client(&rig, port, name) else { return };
        rig.eventually("served", || {
            said = s_client(&rig, port, name).unwrap();
            said.contains("HTTP/1.1 200")
        });
        assert!(said.contains("subject=CN = one.localhost") && said.contains("Verify return code: 0 (ok)"), "{name:?}: {said}");
    }
    // The quickstart's listeners have hostnames, so Sōzu reads their port: without a name there is nothing to be had.
    let said = s_client(&rig, rig.ports.https, None).unwrap();
    assert!(!said.contains("HTTP/1.1") && said.contains("no peer certificate available"), "{said}");
    let said = s_client(&rig, rig.ports.https, Some("one.localhost")).unwrap();
    assert!(said.contains("HTTP/1.1 200") && said.contains("Verify return code: 0 (ok)"), "{said}");
}
