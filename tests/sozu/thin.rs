//! The shortest path: one listener, one host, one route, one backend.

use crate::build::{backend, listener, prefix, route, rule};
use crate::rig::{Rig, serve};

#[tokio::test]
async fn one_route_is_served_follows_changes_and_goes() {
    let mut rig = Rig::start().await;
    let (port, first, second) = (8080, serve("first").await, serve("second").await);
    let edge = |backends: &[u16]| {
        [listener("web", port, "*"), backend("app", backends), route("r", "web", &["app.example"], vec![rule(prefix("/app"), "app")])]
    };

    assert!(rig.hold(edge(&[first])).await.is_empty());
    let answer = rig.get(port, "App.Example:8080", "/app/x?y=1").await;
    assert_eq!((answer.status, answer.by(), answer.line()), (200, "first", "GET /app/x?y=1 HTTP/1.1"));
    assert_eq!(rig.get(port, "app.example", "/application").await.status, 404);
    assert_eq!(rig.get(port, "other.example", "/app").await.status, 404);

    assert!(rig.hold(edge(&[second])).await.is_empty());
    assert_eq!(rig.get(port, "app.example", "/app").await.by(), "second");
    assert!(rig.hold(edge(&[])).await.is_empty());
    assert_eq!(rig.get(port, "app.example", "/app").await.status, 503);

    assert!(rig.hold([listener("web", port, "*")]).await.is_empty());
    assert_eq!(rig.get(port, "app.example", "/app").await.status, 404);
    assert!(rig.hold([]).await.is_empty());
    assert!(tokio::net::TcpStream::connect(rig.at(port)).await.is_err());
}
