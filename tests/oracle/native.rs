//! What Sōzu decides alone: the plan on a real Sōzu, with a stand-in for the filter proxy that only says "hop". Every
//! request that does not take the hop must get what the oracle permits. (That everything else may take the hop is the
//! differential test's part.)

use std::net::{Ipv4Addr, SocketAddr};

use kakehi::edge::plan::{Options, Planner};
use kakehi::edge::sozu::{Maker, Sozu, SpawnSettings, Wire};

use super::backend::{self, Backends, HOP};
use super::client::{Answer, Client};
use super::edges::{common_ports, sozu};
use super::generate;
use super::judge::{arrived, check};
use super::manifest::Place;
use super::naive::decide;
use super::pipeline;
use super::requests::requests;
use super::run::{self, ENOUGH, Plan, SHRINK_STEPS};
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
        let hop = directory.path().join("hop.sock");
        backend::serve_hop(&hop);
        let ports = common_ports(&[Ipv4Addr::LOCALHOST], 2).await;
        let wire = Wire { address: Ipv4Addr::LOCALHOST.into(), hop };
        let settings = SpawnSettings { program: sozu(), dir: directory.path().to_owned(), log_level: "error".to_owned() };
        Self {
            sozu: Sozu::start(Maker::Spawn(settings), wire).await.unwrap(),
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
    }

    async fn ask(&mut self, request: &Request) -> Result<Answer, String> {
        self.clients[request.port].send(request).await.map_err(|error| error.to_string())
    }

    /// What is wrong with the answer; `Ok` also says whether the request took the hop.
    async fn judged(&mut self, world: &World, request: &Request) -> Result<bool, String> {
        let answer = self.ask(request).await?;
        if let Some(seen) = arrived(&answer).filter(|seen| seen.backend == HOP) {
            let ports: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "x-kakehi-hop").map(|(_, port)| port.as_str()).collect();
            let expected = self.ports[request.port].to_string();
            return if ports == [expected.as_str()] { Ok(true) } else { Err(format!("the hop was told {ports:?}, not {expected}")) };
        }
        let permitted = decide(world, &self.ports, request);
        check(&permitted, request, &answer).map(|()| false).map_err(|wrong| format!("sozu:    {wrong}; {answer:?}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sozu_decides_alone_is_what_the_oracle_says() {
    let plan = Plan::from_environment();
    let mut stage = Stage::start().await;
    let (mut asked, mut native, mut reports) = (0, 0, Vec::new());
    for seed in plan.seeds() {
        let world = generate::world(seed);
        stage.hold(&world).await;
        for request in requests(&world, seed, plan.requests) {
            asked += 1;
            match stage.judged(&world, &request).await {
                Ok(hop) => native += usize::from(!hop),
                Err(wrong) => {
                    reports.push(explained(&mut stage, seed, world, &request, wrong).await);
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

async fn explained(stage: &mut Stage, seed: u64, mut world: World, request: &Request, first: String) -> String {
    let (mut steps, mut wrong, mut again) = (0, first, true);
    while again {
        again = false;
        for next in smaller(&world) {
            steps += 1;
            if steps > SHRINK_STEPS {
                break;
            }
            stage.hold(&next).await;
            if let Err(still) = stage.judged(&next, request).await {
                (world, wrong, again) = (next, still, true);
                break;
            }
        }
    }
    stage.hold(&world).await;
    let plan = format!("{:#?}", kakehi::edge::plan::explain::Explanation::of(stage.planner.target()).vhosts);
    let place = Place { ports: &stage.ports, backend_port: stage.backends.port };
    let permitted = decide(&world, place.ports, request);
    run::report(seed, &world, place, request, &permitted, &format!("{wrong}\nplan: {plan}"))
}
