//! Level 2: each world runs on the plan with a real Sōzu and the filter proxy, and on a second edge with everything forced
//! to the filter proxy. Oracle, plan and filter decide the same. The edges live through all worlds, so that the steps
//! between worlds are tested too.

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

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)];

/// The two edges in front of the same backends.
pub struct Pair {
    pub plan: Edge,
    pub filter: Edge,
    backends: Backends,
    pub ports: Vec<u16>,
}

impl Pair {
    pub async fn start() -> Self {
        let ports = common_ports(&ADDRESSES, 2);
        Self {
            plan: Edge::start("plan", ADDRESSES[0], &ports, false).await,
            filter: Edge::start("filter", ADDRESSES[1], &ports, true).await,
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
        let (plan, filter) = tokio::join!(self.plan.apply(&snapshot, world), self.filter.apply(&snapshot, world));
        plan.and(filter)
    }

    /// What either edge does wrong.
    pub async fn wrong(&mut self, world: &World, request: &Request) -> Option<String> {
        let permitted = permitted(world, &self.ports, request);
        let (plan, filter) = tokio::join!(self.plan.ask(request), self.filter.ask(request));
        let verdict = |answer: &Result<Answer, String>| answer.clone().and_then(|answer| check(&permitted, request, &answer));
        let (on_plan, on_filter) = (verdict(&plan), verdict(&filter));
        if on_plan.is_ok() && on_filter.is_ok() {
            return None;
        }
        Some(format!("plan:    {on_plan:?}\n         {plan:?}\nfilter:  {on_filter:?}\n         {filter:?}"))
    }

    pub async fn stop(self) {
        tokio::join!(self.plan.stop(), self.filter.stop());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oracle_plan_and_filter_decide_the_same() {
    let plan = Plan::from_environment();
    let (mut pair, mut pipeline, mut reports) = (Pair::start().await, Pipeline::new(), Vec::new());
    for seed in plan.seeds() {
        let world = generate::world(seed);
        if let Err(error) = pair.hold(&world, &mut pipeline).await {
            reports.push(format!("KAKEHI_ORACLE_SEED={seed}: {error}\n{}", run::brief(&world, pair.place())));
            break;
        }
        for request in requests(&world, seed, plan.requests) {
            if let Some(wrong) = pair.wrong(&world, &request).await {
                reports.push(explained(seed, &world, &request, wrong).await);
                break;
            }
        }
        if reports.len() >= ENOUGH {
            break;
        }
    }
    pair.stop().await;
    run::conclude(&reports);
}

/// Shrinks on fresh edges. What does not show there comes from the worlds before: the report says so.
async fn explained(seed: u64, world: &World, request: &Request, first: String) -> String {
    let (mut pair, mut pipeline) = (Pair::start().await, Pipeline::new());
    let (mut world, mut wrong) = (world.clone(), first);
    match again(&mut pair, &mut pipeline, &world, request).await {
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
            if let Some(still) = again(&mut pair, &mut pipeline, &next, request).await {
                found = Some((next, still));
                break;
            }
        }
        let Some(next) = found else { break };
        (world, wrong) = next;
    }
    let report = run::report(seed, &world, pair.place(), request, &wrong);
    pair.stop().await;
    report
}

async fn again(pair: &mut Pair, pipeline: &mut Pipeline, world: &World, request: &Request) -> Option<String> {
    match pair.hold(world, pipeline).await {
        Ok(()) => pair.wrong(world, request).await,
        Err(error) => Some(error),
    }
}
