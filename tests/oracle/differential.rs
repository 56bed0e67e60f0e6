//! Level 2: each world runs on the plan with a real Sōzu and the filter proxy, on a second edge with every request forced to
//! the filter proxy, and on a third with every connection relayed to it. Oracle, plan, filter and relay decide the same. The
//! edges live through all worlds, so that the steps between worlds are tested too.

use std::net::Ipv4Addr;

use tokio::time::Instant;

use super::backend::Backends;
use super::client::Answer;
use super::edges::{Edge, common_ports};
use super::generate;
use super::judge::{check, permitted};
use super::manifest::Place;
use super::pipeline::{self, Pipeline};
use super::requests::requests;
use super::run::{self, ENOUGH, Plan, SHRINK_TIME};
use super::shrink::smaller;
use super::world::{Request, World};

const ADDRESSES: [Ipv4Addr; 3] = [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];

/// The edges in front of the same backends.
pub struct Edges {
    pub plan: Edge,
    pub filter: Edge,
    pub relay: Edge,
    backends: Backends,
    pub ports: Vec<u16>,
}

impl Edges {
    pub async fn start() -> Self {
        let ports = common_ports(&ADDRESSES, 2);
        Self {
            plan: Edge::start("plan", ADDRESSES[0], &ports, &[]).await,
            filter: Edge::start("filter", ADDRESSES[1], &ports, &["--force-hop"]).await,
            relay: Edge::start("relay", ADDRESSES[2], &ports, &["--force-relay"]).await,
            backends: Backends::start().await,
            ports,
        }
    }

    pub fn place(&self) -> Place<'_> {
        Place { ports: &self.ports, backend_port: self.backends.port }
    }

    pub async fn hold(&mut self, world: &World, pipeline: &mut Pipeline) -> Result<(), String> {
        let snapshot = pipeline.hold(world, self.place());
        let scratch = pipeline::snapshot(world, self.place());
        if snapshot != scratch {
            return Err(format!("step by step, translation gives another snapshot: {:?}", snapshot.diff(&scratch)));
        }
        let (plan, filter, relay) =
            tokio::join!(self.plan.apply(&snapshot, world), self.filter.apply(&snapshot, world), self.relay.apply(&snapshot, world));
        plan.and(filter).and(relay)
    }

    /// What either edge does wrong.
    pub async fn wrong(&mut self, world: &World, request: &Request) -> Option<String> {
        let permitted = permitted(world, &self.ports, request);
        let (plan, filter, relay) = tokio::join!(self.plan.ask(request), self.filter.ask(request), self.relay.ask(request));
        let verdict = |answer: &Result<Answer, String>| answer.clone().and_then(|answer| check(&permitted, request, &answer));
        let (on_plan, on_filter, on_relay) = (verdict(&plan), verdict(&filter), verdict(&relay));
        if on_plan.is_ok() && on_filter.is_ok() && on_relay.is_ok() {
            return None;
        }
        let line = |name, verdict, answer| format!("{name:8} {verdict:?}\n         {answer:?}");
        Some([line("plan:", on_plan, plan), line("filter:", on_filter, filter), line("relay:", on_relay, relay)].join("\n"))
    }

    pub async fn stop(self) {
        tokio::join!(self.plan.stop(), self.filter.stop(), self.relay.stop());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oracle_plan_filter_and_relay_decide_the_same() {
    let plan = Plan::from_environment();
    let (mut edges, mut pipeline, mut reports) = (Edges::start().await, Pipeline::new(), Vec::new());
    for seed in plan.seeds() {
        let world = generate::world(seed);
        if let Err(error) = edges.hold(&world, &mut pipeline).await {
            reports.push(format!("KAKEHI_ORACLE_SEED={seed}: {error}\n{}", run::brief(&world, edges.place())));
            break;
        }
        for request in requests(&world, seed, plan.requests) {
            if let Some(wrong) = edges.wrong(&world, &request).await {
                reports.push(explained(seed, &world, &request, wrong).await);
                break;
            }
        }
        if reports.len() >= ENOUGH {
            break;
        }
    }
    edges.stop().await;
    run::conclude(&reports);
}

/// Shrinks on fresh edges. What does not show there comes from the worlds before: the report says so.
async fn explained(seed: u64, world: &World, request: &Request, first: String) -> String {
    let (mut edges, mut pipeline) = (Edges::start().await, Pipeline::new());
    let (mut world, mut wrong) = (world.clone(), first);
    match again(&mut edges, &mut pipeline, &world, request).await {
        Some(again) => wrong = again,
        None => wrong.push_str("\nnot seen on fresh edges: it depends on the worlds before"),
    }
    let end = Instant::now() + SHRINK_TIME;
    while Instant::now() < end {
        let mut found = None;
        for next in smaller(&world).into_iter().filter(|next| next.listeners.iter().any(|listener| listener.port == request.port)) {
            if Instant::now() > end {
                break;
            }
            if let Some(still) = again(&mut edges, &mut pipeline, &next, request).await {
                found = Some((next, still));
                break;
            }
        }
        let Some(next) = found else { break };
        (world, wrong) = next;
    }
    let report = run::report(seed, &world, edges.place(), request, &wrong);
    edges.stop().await;
    report
}

async fn again(edges: &mut Edges, pipeline: &mut Pipeline, world: &World, request: &Request) -> Option<String> {
    match edges.hold(world, pipeline).await {
        Ok(()) => edges.wrong(world, request).await,
        Err(error) => Some(error),
    }
}
