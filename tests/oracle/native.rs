//! What Sōzu decides alone: the plan on a real Sōzu, with a stand-in for the filter proxy that only says "hop". Every
//! request that does not take the hop must get what the oracle permits. (That everything else may take the hop is the
//! differential test's part.)

use std::net::{Ipv4Addr, SocketAddr};

use kakehi::edge::Capacity;
use kakehi::edge::plan::explain::Explanation;
use kakehi::edge::plan::{Options, Planner};
use kakehi::edge::sozu::{Kin, Maker, Silence, Sozu, SpawnSettings, Wire};

use tokio::time::Instant;

use super::backend::{self, Backends, HOP};
use super::client::{Answer, Client, close_gone};
use super::edges::{common_ports, sozu};
use super::generate;
use super::judge::{arrived, check, permitted};
use super::manifest::Place;
use super::pipeline;
use super::requests::requests;
use super::run::{self, ENOUGH, Plan, SHRINK_TIME};
use super::shrink::smaller;
use super::world::{Request, World};

struct Stage {
    sozu: Sozu,
    planner: Planner,
    clients: Vec<Client>,
    ports: Vec<u16>,
    backends: Backends,
    _directory: tempfile::TempDir,
}

impl Stage {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (hop, relay) = (directory.path().join("hop.sock"), directory.path().join("relay.sock"));
        backend::serve_hop(&hop);
        let ports = common_ports(&[Ipv4Addr::LOCALHOST], 2);
        let wire = Wire { address: Ipv4Addr::LOCALHOST.into(), hop, relay, silence: Silence::default() };
        let settings = SpawnSettings {
            program: sozu(),
            dir: directory.path().to_owned(),
            log_level: "error".to_owned(),
            budget: Capacity::default().launched(),
        };
        Self {
            sozu: Sozu::start(Maker::Spawn(settings), wire, Kin::family(1, false).remove(0)).await.unwrap(),
            planner: Planner::new(Options::default()),
            clients: ports.iter().map(|port| Client::new(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), *port))).collect(),
            ports,
            backends: Backends::start().await,
            _directory: directory,
        }
    }

    async fn hold(&mut self, world: &World) {
        let place = Place { ports: &self.ports, backend_port: self.backends.port };
        let delta = self.planner.snapshot().diff(&pipeline::snapshot(world, place));
        self.planner.apply(&delta);
        let refused = self.sozu.apply(self.planner.target()).await.unwrap();
        assert!(refused.is_empty(), "{refused:?} for {world:?}");
        close_gone(&mut self.clients, world);
    }

    async fn ask(&mut self, request: &Request) -> Result<Answer, String> {
        self.clients[request.port].send(request).await.map_err(|error| error.to_string())
    }

    /// The plan, one region in a line.
    fn plan(&self) -> String {
        let mut text = String::new();
        for (vhost, regions) in Explanation::of(self.planner.target()).vhosts {
            text.push_str(&format!("{vhost}\n"));
            for region in regions {
                text.push_str(&format!("    {}\n", serde_json::to_string(&region).unwrap()));
            }
        }
        text
    }

    /// What is wrong with the answer; `Ok` also says whether the request took the hop.
    async fn judged(&mut self, world: &World, request: &Request) -> Result<bool, String> {
        let answer = self.ask(request).await?;
        if let Some(seen) = arrived(&answer).filter(|seen| seen.backend == HOP) {
            let ports: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "x-kakehi-hop").map(|(_, port)| port.as_str()).collect();
            let expected = self.ports[request.port].to_string();
            return if ports == [expected.as_str()] { Ok(true) } else { Err(format!("the hop was told {ports:?}, not {expected}")) };
        }
        let permitted = permitted(world, &self.ports, request);
        check(&permitted, request, &answer).map(|()| false).map_err(|wrong| format!("sozu:    {wrong}; {answer:?}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sozu_decides_alone_is_what_the_oracle_says() {
    let plan = Plan::from_environment();
    let mut stage = Stage::start().await;
    let (mut asked, mut native, mut reports) = (0, 0, Vec::new());
    let mut history = Vec::new();
    for seed in plan.seeds() {
        let world = generate::world(seed);
        history.push(world.clone());
        stage.hold(&world).await;
        for request in requests(&world, seed, plan.requests) {
            asked += 1;
            match stage.judged(&world, &request).await {
                Ok(hop) => native += usize::from(!hop),
                Err(wrong) => {
                    reports.push(explained(seed, &history, &request, wrong).await);
                    break;
                }
            }
        }
        if reports.len() >= ENOUGH {
            break;
        }
    }
    println!("{native} of {asked} requests were decided by Sōzu alone");
    run::conclude(&reports);
    assert!(native * 5 > asked, "only {native} of {asked} requests were decided by Sōzu alone");
}

/// Shrinks on a Sōzu that starts afresh: the world alone if that shows the failure, else with as many of the worlds before
/// it as it takes.
async fn explained(seed: u64, history: &[World], request: &Request, first: String) -> String {
    let mut wrong = format!("{first}; not seen again on a fresh Sōzu after the same worlds");
    let mut worlds = history.to_vec();
    for length in [1, 2, 4, 8, history.len()] {
        let last = &history[history.len().saturating_sub(length)..];
        if let Err(again) = afresh(last, request).await.0 {
            (worlds, wrong) = (last.to_vec(), again);
            break;
        }
    }
    let end = Instant::now() + SHRINK_TIME;
    while Instant::now() < end {
        let mut found = None;
        for next in smaller_steps(&worlds, request) {
            if Instant::now() > end {
                break;
            }
            if let (Err(still), _) = afresh(&next, request).await {
                found = Some((next, still));
                break;
            }
        }
        let Some(next) = found else { break };
        (worlds, wrong) = next;
    }
    let (_, stage) = afresh(&worlds, request).await;
    let place = Place { ports: &stage.ports, backend_port: stage.backends.port };
    let before = worlds[..worlds.len() - 1].iter().map(|world| {
        format!(
            "before:
{}",
            run::brief(world, place)
        )
    });
    let before: String = before.collect();
    let last = &worlds[worlds.len() - 1];
    run::report(seed, last, place, request, &format!("{wrong}\n{}{before}", stage.plan()))
}

/// The sequences with one world one step smaller. The last one keeps a listener for the request.
fn smaller_steps(worlds: &[World], request: &Request) -> Vec<Vec<World>> {
    let mut sequences = Vec::new();
    for at in 0..worlds.len() - 1 {
        let mut sequence = worlds.to_vec();
        sequence.remove(at);
        sequences.push(sequence);
    }
    for (at, world) in worlds.iter().enumerate() {
        for next in smaller(world) {
            if at + 1 < worlds.len() || next.listeners.iter().any(|listener| listener.port == request.port) {
                let mut sequence = worlds.to_vec();
                sequence[at] = next;
                sequences.push(sequence);
            }
        }
    }
    sequences
}

async fn afresh(worlds: &[World], request: &Request) -> (Result<bool, String>, Stage) {
    let mut stage = Stage::start().await;
    for world in worlds {
        stage.hold(world).await;
    }
    (stage.judged(&worlds[worlds.len() - 1], request).await, stage)
}
