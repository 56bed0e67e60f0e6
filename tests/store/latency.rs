//! From the end of a write to the event, printed: `cargo test --release --test store -- --ignored --nocapture latency`.

use std::fs;
use std::time::Duration;

use kakehi::store::Event;
use kakehi::store::directory::{Directory, Settings};
use tokio::sync::mpsc;
use tokio::time::Instant;

fn route(name: &str, path: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: demo}}\nspec:\n  parentRefs: [{{name: web}}]\n  \
         hostnames: [{name}.example.com]\n  rules:\n  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n    backendRefs: [{{name: echo, port: 80}}]\n"
    )
}

async fn changes(events: &mut mpsc::Receiver<Event>) -> usize {
    loop {
        match tokio::time::timeout(Duration::from_secs(60), events.recv()).await {
            Ok(Some(Event::Changes(changes))) => return changes.len(),
            Ok(Some(_)) => {}
            _ => panic!("no change was heard of"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn latency() {
    for files in [0, 1000, 5000] {
        let directory = tempfile::tempdir().unwrap();
        for index in 0..files {
            fs::write(directory.path().join(format!("r{index}.yaml")), route(&format!("r{index}"), "/")).unwrap();
        }
        fs::write(directory.path().join("edited.yaml"), route("edited", "/")).unwrap();
        let (sender, mut events) = mpsc::channel(1000);
        let start = Instant::now();
        tokio::spawn(Directory::open(Settings::new(directory.path())).unwrap().watch(sender));
        while !matches!(events.recv().await, Some(Event::Synced)) {}
        let synced = start.elapsed();
        let mut edits = Vec::new();
        let mut additions = Vec::new();
        let mut moved = 0;
        for index in 0..200 {
            let (staged, file) = (directory.path().join(".staged"), directory.path().join("edited.yaml"));
            fs::write(&staged, route("edited", &format!("/{index}"))).unwrap();
            let start = Instant::now();
            fs::rename(&staged, &file).unwrap();
            changes(&mut events).await;
            edits.push(start.elapsed());
            fs::write(&staged, route(&format!("new{index}"), "/")).unwrap();
            let start = Instant::now();
            fs::rename(&staged, directory.path().join(format!("new{index}.yaml"))).unwrap();
            moved += changes(&mut events).await - 1;
            additions.push(start.elapsed());
        }
        edits.sort();
        additions.sort();
        println!(
            "{files} files: synced after {synced:?}; an edit p50 {:?} p99 {:?}; a new file p50 {:?} p99 {:?}, moving the age of {:.1} others",
            edits[100],
            edits[198],
            additions[100],
            additions[198],
            f64::from(u32::try_from(moved).unwrap()) / 200.0
        );
    }
}
