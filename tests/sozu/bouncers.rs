//! Requests with odd fields go to the filter proxy, whatever their host and path; plain ones stay with Sōzu.

use kakehi::edge::plan::{Why, bouncers};
use kakehi::snapshot::Resource;

use crate::build::{backend, exact, listener, prefix, route, rule};
use crate::rig::{Rig, send, serve, until};

fn request(host: &str, path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
}

/// A value that the bouncer of this field takes.
fn odd(name: &str) -> &'static str {
    match name {
        "connection" => "keep-alive, X-Real-IP",
        "upgrade" => "h2c",
        "te" => "gzip",
        _ => "1",
    }
}

async fn check(rig: &Rig) {
    for bouncer in bouncers(false) {
        for (host, path) in [("app.example", "/"), ("app.example", "/deep/path?x=1"), ("none.example", "/")] {
            let fields = format!("X-Before: 1\r\n{}: {}\r\n", bouncer.name.to_uppercase(), odd(&bouncer.name));
            let answer = send(rig.at(8080), &request(host, path, &fields)).await;
            assert_eq!(answer.by(), "hop", "{} {host}{path}", bouncer.name);
            assert_eq!(answer.seen("x-kakehi-hop"), ["8080"], "{}", bouncer.name);
        }
    }
    let plain = "Connection: keep-alive\r\nTE: trailers\r\nX-Forwarded-For: 192.0.2.1\r\nUser-Agent: x_real_ip\r\nX-Real-IP: 6.6.6.6\r\n";
    for fields in ["", plain, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n", "Connection: close\r\n"] {
        let answer = send(rig.at(8080), &request("app.example", "/deep/path", fields)).await;
        assert_eq!(answer.by(), "app", "{fields}");
        assert_eq!(answer.seen("x-kakehi-hop"), [""; 0]);
    }
}

#[tokio::test]
async fn odd_requests_are_taken_out_before_any_route() {
    let mut rig = Rig::start().await;
    let app = backend("app", &[serve("app").await]);
    let rules = || vec![rule(exact("/deep/path"), "app"), rule(prefix("/"), "app")];
    let whole = |rules| [listener("web", 8080, "*"), app.clone(), route("r", "web", &["app.example"], rules)];
    assert!(rig.hold(whole(rules())).await.is_empty());
    check(&rig).await;
    // Routes that change leave them alone.
    assert!(rig.hold(whole(rules().split_off(1))).await.is_empty());
    assert!(rig.hold(whole(rules())).await.is_empty());
    check(&rig).await;
    let worker = rig.sozu.workers()[0];
    rustix::process::kill_process(rustix::process::Pid::from_raw(worker).unwrap(), rustix::process::Signal::KILL).unwrap();
    until(rig.at(8080), "app.example", "/", "app").await;
    assert!(rig.hold(whole(rules())).await.is_empty());
    check(&rig).await;
    // The port goes and comes back.
    assert!(rig.hold([app.clone()]).await.is_empty());
    assert!(rig.hold(whole(rules())).await.is_empty());
    check(&rig).await;
}

#[tokio::test]
async fn claims_pass_while_the_port_keeps_them() {
    let mut rig = Rig::start().await;
    let app = [backend("app", &[serve("app").await]), route("r", "web", &["app.example"], vec![rule(prefix("/"), "app")])];
    for keeps in [false, true, false] {
        let web = match listener("web", 8080, "*") {
            Resource::Listener(mut listener) => {
                listener.tuning.keeps_claims = keeps;
                Resource::Listener(listener)
            }
            other => other,
        };
        assert!(rig.hold(app.iter().cloned().chain([web])).await.is_empty());
        for bouncer in bouncers(false) {
            let answer = send(rig.at(8080), &request("app.example", "/", &format!("{}: {}\r\n", bouncer.name, odd(&bouncer.name)))).await;
            let native = keeps && bouncer.why == Why::Claims;
            assert_eq!(answer.by(), if native { "app" } else { "hop" }, "{} {keeps}", bouncer.name);
        }
    }
}
