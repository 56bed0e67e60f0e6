//! Figures, not asserts: what one change costs at size. `cargo test --test sozu scale -- --ignored --nocapture`.

use tokio::time::Instant;

use crate::build::{backend, listener, prefix, route, rule};
use crate::rig::{Rig, serve};
use kakehi::snapshot::{Delta, Resource};
use std::sync::Arc;

#[tokio::test]
#[ignore = "prints figures"]
async fn one_change_among_many() {
    measure(|number| (format!("r{number}.example"), "/".to_owned())).await;
}

#[tokio::test]
#[ignore = "prints figures"]
async fn one_change_among_many_of_one_host() {
    measure(|number| ("app.example".to_owned(), format!("/path-{number}"))).await;
}

async fn measure(place: fn(usize) -> (String, String)) {
    let app = serve("app").await;
    for size in [10, 1_000, 5_000, 20_000] {
        let mut rig = Rig::start().await;
        let one = |number: usize, more: &str| {
            let (host, path) = place(number);
            route(&format!("r{number}"), "web", &[&host], vec![rule(prefix(&(path + more)), &format!("b{}", number % size))])
        };
        let mut all = vec![listener("web", 8080, "*")];
        all.extend((0..size).map(|number| one(number, "")));
        all.extend((0..size).map(|number| backend(&format!("b{number}"), &[app])));
        let began = Instant::now();
        assert!(rig.hold(all).await.is_empty());
        println!("{size} routes: first load {:?}", began.elapsed());
        for (what, resource) in [
            ("route", one(3, "changed") as Resource),
            ("route back", one(3, "")),
            ("backend", backend("b3", &[app, app + 1])),
            ("new", one(size, "")),
        ] {
            let began = Instant::now();
            rig.planner.apply(&Delta { set: vec![Arc::new(resource)], remove: Vec::new() });
            let planned = began.elapsed();
            assert!(rig.sozu.apply(rig.planner.target()).await.unwrap().is_empty());
            println!("  {what}: plan {planned:?}, all {:?}", began.elapsed());
        }
        let began = Instant::now();
        assert!(rig.sozu.apply(rig.planner.target()).await.unwrap().is_empty());
        println!("  nothing: {:?}", began.elapsed());
        let began = Instant::now();
        assert!(rig.sozu.audit(rig.planner.target()).await.unwrap());
        println!("  audit: {:?}", began.elapsed());
    }
}
