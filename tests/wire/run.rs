//! Every case in every stage.

use crate::backend::{Backend, Log};
use crate::backends::routed;
use crate::case::{Case, Want, bytes};
use crate::rig::Rig;
use crate::stage::{Stage, connect, host};
use crate::{answers, frames};

/// How many cases run at a time: some of them wait for clocks.
const LANES: usize = 8;

/// The fields of a request of HTTP/2, as they are sent.
fn fields(case: &Case, lane: &Lane) -> Vec<(Vec<u8>, Vec<u8>)> {
    let usual = [(":method", "GET"), (":scheme", "https"), (":authority", "HOST"), (":path", "/wire")];
    let usual = usual.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let whole = case.fields.iter().any(|(name, _)| name.starts_with(':'));
    let mut all: Vec<(String, String)> = if whole { Vec::new() } else { usual.collect() };
    for (name, value) in &case.fields {
        match name.strip_prefix("many ") {
            Some(count) => all.extend((0..count.parse().unwrap()).map(|index: usize| (format!("x-{index}"), value.clone()))),
            None => all.push((name.clone(), value.clone())),
        }
    }
    all.iter().map(|(name, value)| (bytes(name, host(true)), bytes(&lane.of(value), host(true)))).collect()
}

/// Cases that run one after the other, beside others: a backend, and the path that leads to it in place of `/wire`.
struct Lane {
    number: usize,
    backend: Backend,
}

impl Lane {
    async fn start(number: usize) -> Self {
        Self { number, backend: Backend::start().await }
    }

    fn name(&self) -> String {
        format!("wire{}", self.number)
    }

    fn of(&self, text: &str) -> String {
        text.replace("/wire", &format!("/{}", self.name()))
    }

    async fn outcome(&self, rig: &Rig, case: &Case, want: &Want) -> (String, Log) {
        let status = if case.is_h2() {
            let body = case.body.as_ref().map(|body| bytes(body, host(true)));
            frames::ask(connect(rig, true, &["h2"]).await, &fields(case, self), body.as_deref()).await
        } else {
            let sent = bytes(&self.of(&case.send), host(false));
            answers::ask(connect(rig, false, &[]).await, &sent, &want.status).await
        };
        (status, self.backend.take(want.requests).await)
    }

    /// What is wrong with every case of a share, for people.
    async fn run(&self, rig: &Rig, stage: Stage, cases: impl Iterator<Item = Case>) -> Vec<String> {
        let mut wrong = Vec::new();
        for case in cases {
            let mut want = case.want(stage);
            want.has.iter_mut().chain(&mut want.lacks).for_each(|part| *part = self.of(part));
            let (status, log) = self.outcome(rig, &case, &want).await;
            wrong.extend(judge(&want, &status, &log).map(|what| format!("## {} ({stage:?}): {what}\n", case.name)));
        }
        wrong
    }
}

/// What is wrong with a case in a stage, for people.
fn judge(want: &Want, status: &str, log: &Log) -> Option<String> {
    let text = log.bytes.iter().map(|byte| char::from(*byte)).collect::<String>().to_ascii_lowercase();
    let mut wrong = Vec::new();
    if status != want.status {
        wrong.push(format!("the client reads {status:?}, not {:?}", want.status));
    }
    if log.requests != want.requests {
        wrong.push(format!("{} requests at the backend, not {}", log.requests, want.requests));
    }
    let mut unclean = log.unclean.clone();
    unclean.dedup();
    if unclean != want.unclean {
        wrong.push(format!("unclean: {unclean:?}, not {:?}", want.unclean));
    }
    wrong.extend(want.has.iter().filter(|part| !text.contains(*part)).map(|part| format!("the backend lacks {part:?}")));
    wrong.extend(want.lacks.iter().filter(|part| text.contains(*part)).map(|part| format!("the backend has {part:?}")));
    let shown: String = text.chars().take(1500).collect();
    (!wrong.is_empty()).then(|| format!("{}\n-- backend\n{shown}", wrong.join("; ")))
}

async fn stage_keeps_every_case(stage: Stage) {
    let lanes = futures::future::join_all((0..LANES).map(Lane::start)).await;
    let manifests: Vec<String> = lanes.iter().map(|lane| routed(&lane.name(), lane.backend.address, None)).collect();
    let rig = stage.start(&manifests);
    let shares = lanes.iter().enumerate().map(|(index, lane)| lane.run(&rig, stage, Case::all().into_iter().skip(index).step_by(LANES)));
    let wrong: Vec<String> = futures::future::join_all(shares).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} cases\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn natively() {
    stage_keeps_every_case(Stage::Native).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hop() {
    stage_keeps_every_case(Stage::Hop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relayed() {
    stage_keeps_every_case(Stage::Relay).await;
}

#[test]
fn there_are_cases_of_all_kinds() {
    let cases = Case::all();
    assert!(cases.len() >= 100, "{}", cases.len());
    assert!(cases.iter().filter(|case| case.is_h2()).count() >= 20);
    let mut names: Vec<_> = cases.iter().map(|case| &case.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), cases.len(), "every case has a name of its own");
}
