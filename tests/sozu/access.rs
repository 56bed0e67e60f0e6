//! Sōzu's record of requests: what it says, and when it is written.

use std::time::Duration;

use kakehi::edge::sozu::{NUDGE, Record, Records};
use kakehi::model::{HeaderMatch, ValueMatch};

use crate::build::{backend, listener, prefix, route, rule};
use crate::rig::{Rig, get, send, serve};

/// A record's cluster, route, whether a backend was reached, and status.
type Line = (String, String, bool, u16);

fn line(record: &Record<'_>) -> Line {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
    (text(record.cluster), text(record.route), record.reached, record.status)
}

async fn rig() -> (Rig, Records) {
    let mut rig = Rig::start().await;
    let native = backend("native", &[serve("native").await]);
    let mut hop = rule(prefix("/hop"), "native");
    hop.matches[0].headers.push(HeaderMatch { name: "x".into(), value: ValueMatch::Exact("y".into()) });
    let any = route("any", "web", &["*"], vec![rule(prefix("/"), "native"), hop]);
    assert!(rig.hold([listener("web", 8080, "*"), native, any]).await.is_empty());
    let mut log = Records::of(rig.dir.path());
    while log.read(|_| {}).unwrap() {}
    (rig, log)
}

/// What was recorded, nudges left out, once Sōzu has been nudged.
async fn read(rig: &Rig, log: &mut Records) -> Vec<Line> {
    for _ in 0..8 {
        let target = format!("{NUDGE}{}", "-".repeat(1200));
        let answer = send(rig.at(8080), &format!("GET {target} HTTP/1.1\r\nHost: no host\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answer.who(), "400", "a nudge reaches nobody");
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut lines = Vec::new();
    let mut nudges = 0;
    while log.read(|record| if record.nudge { nudges += 1 } else { lines.push(line(record)) }).unwrap() {}
    assert!(nudges > 0, "the first nudges are written out by the later ones");
    lines
}

#[tokio::test]
async fn requests_are_recorded_with_their_route() {
    let (rig, mut log) = rig().await;
    for target in ["/", "/a?b=c", "/hop", "/hop/x"] {
        assert!(!get(rig.at(8080), "a.example", target).await.by().is_empty(), "{target}");
    }
    let by_route = ("test/native:80".to_owned(), "HTTPRoute/test/any".to_owned(), true, 200);
    let by_hop = ("kakehi-hop".to_owned(), String::new(), true, 200);
    assert_eq!(read(&rig, &mut log).await, [by_route.clone(), by_route.clone(), by_hop.clone(), by_hop]);
    assert_eq!(get(rig.at(8080), "a b", "/").await.status, 400);
    assert_eq!(read(&rig, &mut log).await, [(String::new(), String::new(), false, 400)]);
    // A client's path may begin like that of a nudge.
    assert_eq!(get(rig.at(8080), "a b", "/.kakehi/nudge/../../admin").await.status, 400);
    assert_eq!(read(&rig, &mut log).await, [(String::new(), String::new(), false, 400)]);
}

#[tokio::test]
async fn a_long_request_costs_few_of_its_neighbours() {
    let (rig, mut log) = rig().await;
    let long = format!("/{}", "x".repeat(6000));
    for round in 0..30 {
        get(rig.at(8080), "a.example", if round == 15 { &long } else { "/" }).await;
    }
    let lines = read(&rig, &mut log).await;
    assert!((27..=30).contains(&lines.len()) && log.lost() <= 3, "{} recorded, {} lost", lines.len(), log.lost());
}
