//! Manifests: any text is translated without a panic, in time and memory that grow with it, to the same snapshots in any order.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use kakehi::api::{Change, Object};
use kakehi::controller::view::{plan_view, report_view};
use kakehi::edge::plan::Options;
use kakehi::settings::{DirectorySettings, IngressSettings, NameSettings};
use kakehi::standalone;
use kakehi::store::directory::{self, Directory};
use kakehi::translate::{Now, Settings, Translator};
use libfuzzer_sys::fuzz_target;
use rustix::time::{ClockId, clock_gettime};

const TODAY: i64 = 1_796_083_200;
/// CPU time that any text may take, in milliseconds, and that each KiB of it may take besides: this build is several times
/// slower than the one that is shipped.
const TIME: (u64, u64) = (3_000, 50);
/// So many objects are translated one by one too.
const FEW: usize = 40;

static DIRECTORY: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
    tempfile::tempdir_in(place).unwrap()
});

fuzz_target!(|input: &[u8]| {
    let directory = DIRECTORY.path();
    std::fs::write(directory.join("m.yaml"), input).unwrap();
    let start = spent();
    let meaning = standalone::translate(directory, &settings(), TODAY).unwrap();
    let took = spent() - start;
    assert!(took < TIME.0 + TIME.1 * (input.len() as u64 / 1024), "{took} ms for {} bytes", input.len());
    for edge in meaning.edges.values() {
        plan_view(&edge.snapshot, &Options::default());
    }
    meaning.reports.iter().for_each(|report| drop(report_view(report)));
    let objects = Directory::open(directory::Settings::new(directory)).unwrap().load().unwrap().objects;
    if objects.len() <= FEW {
        in_any_order(objects);
    }
});

/// One by one from the last to the first, the objects lead to what they lead to at once; without them nothing is left.
fn in_any_order(mut objects: Vec<Object>) {
    let change = |object: Object| Change { id: object.id(), old: None, new: Some(object) };
    let mut at_once = Translator::new(Settings::default());
    at_once.apply(objects.iter().cloned().map(change), Now::from_unix(TODAY));
    objects.reverse();
    let mut stepwise = Translator::new(Settings::default());
    for object in &objects {
        stepwise.apply([change(object.clone())], Now::from_unix(TODAY));
    }
    assert!(stepwise.edges().eq(at_once.edges()));
    assert_eq!(stepwise.reports(), at_once.reports());
    for object in objects {
        stepwise.apply([Change { id: object.id(), old: None, new: None }], Now::from_unix(TODAY));
    }
    assert!(stepwise.is_empty());
}

fn settings() -> DirectorySettings {
    DirectorySettings {
        crds: None,
        controller_name: "kakehi.dev/gateway-controller".into(),
        ingress: IngressSettings {
            ingress_controller_name: "kakehi.dev/ingress-controller".into(),
            ingress_http_port: 80,
            ingress_https_port: 443,
            default_backend: None,
        },
        names: NameSettings { allow_external_names: true, nameserver: Vec::new() },
        address: [127, 0, 0, 1].into(),
        force_hop: false,
        force_relay: false,
    }
}

/// CPU time of this thread in milliseconds: other processes do not count.
fn spent() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * 1000 + time.tv_nsec.unsigned_abs() / 1_000_000
}
