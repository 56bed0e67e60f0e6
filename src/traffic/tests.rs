use std::time::Duration;

use super::{BOUNDS, PAIRS, Pair, Report, Routed, Traffic, label};
use crate::model::{BackendId, Kind, ObjectId};

fn pair(number: usize) -> Pair {
    let backend = BackendId { namespace: "n".to_owned(), service: format!("s{number}"), port: 80 };
    Pair::of(ObjectId::new(Kind::HttpRoute, "n", format!("r{number}")), Some(backend))
}

#[test]
fn statuses_beyond_the_known_count_by_class() {
    let traffic = Traffic::default();
    for status in [200, 200, 299, 503, 599, 0, 3, 777] {
        traffic.tally(&pair(0)).add(status, Duration::from_millis(2));
    }
    let counts = traffic.counts();
    let labelled: Vec<(String, u64)> = counts[0].statuses.iter().map(|(status, count)| (label(*status).into_owned(), *count)).collect();
    let wanted = [("none", 3), ("2xx", 1), ("5xx", 1), ("200", 2), ("503", 1)];
    assert_eq!(labelled, wanted.map(|(label, count)| (label.to_owned(), count)));
}

#[test]
fn a_time_at_a_bound_is_within_it() {
    let traffic = Traffic::default();
    let tally = traffic.tally(&Pair::NOWHERE);
    for bound in BOUNDS {
        tally.add(200, Duration::from_secs_f64(bound));
    }
    tally.add(200, Duration::from_secs(60));
    let counts = traffic.counts();
    assert_eq!(counts[0].times, vec![1; BOUNDS.len() + 1]);
    assert!((counts[0].seconds - BOUNDS.iter().sum::<f64>() - 60.0).abs() < 1e-6);
}

#[test]
fn pairs_beyond_the_limit_are_one() {
    let traffic = Traffic::default();
    for number in 0..PAIRS + 50 {
        traffic.tally(&pair(number)).add(200, Duration::ZERO);
    }
    let counts = traffic.counts();
    let other = counts.iter().find(|count| count.pair == Pair::OTHER).unwrap();
    assert_eq!((counts.len(), other.statuses.as_slice()), (PAIRS + 1, [(200, 50)].as_slice()));
}

#[test]
fn what_is_gone_is_forgotten_and_the_rest_counts_on() {
    let traffic = Traffic::default();
    for pair in [pair(1), pair(2), Pair::NOWHERE] {
        traffic.tally(&pair).add(200, Duration::ZERO);
    }
    traffic.prune(|held| *held == pair(2));
    traffic.tally(&pair(2)).add(200, Duration::ZERO);
    let left: Vec<_> = traffic.counts().into_iter().map(|count| (count.pair, count.statuses)).collect();
    assert_eq!(left, [(Pair { route: Routed::Nowhere, backend: None }, vec![(200, 1)]), (pair(2), vec![(200, 2)])]);
}

#[test]
fn reports_of_other_versions_are_read() {
    let text = r#"{"traffic":[],"refused":1,"connected":2,"connect_errors":0,"upstream_errors":0,"timeouts":0,"replays":0,"retries":0,
        "mirrored":0,"mirror_errors":0,"active":3,"unheard_of":4}"#;
    let report: Report = serde_json::from_str(text).unwrap();
    assert_eq!((report.refused, report.active, report.held, report.closed_connections), (1, 3, 0, [0; 5]));
}
