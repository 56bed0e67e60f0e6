//! Brings a Sōzu to a target and finds out what it refuses.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sozu_command_lib::proto::command::request::RequestType;
use sozu_command_lib::proto::command::response_content::ContentType;
use sozu_command_lib::proto::command::{FrontendFilters, ListListeners};

use super::held::{self, expected, holds};
use super::instance::{Health, Instance};
use super::load::{StateFile, files};
use super::parting::Parting;
use super::{Error, Item, Kin, Maker, Order, Reply, Shadow, Step, Wire, steps};
use crate::edge::plan::{PortId, PortKind, Target};
use crate::snapshot::wire::Refusal;

/// A Sōzu with the shadow of its state.
#[derive(Debug)]
pub struct Sozu {
    instance: Instance,
    pub(super) shadow: Shadow,
    maker: Maker,
    order: Order,
    /// It ran before we came, and what it holds was not looked at yet.
    stranger: bool,
    file: u64,
    starts: u64,
    /// Clusters that were touched since the last audit.
    unaudited: BTreeSet<String>,
    /// Ports whose handshakes are to end.
    parting: Parting,
    /// It takes its last target, and its launcher may end it meanwhile.
    closes: bool,
    /// What its siblings know of it.
    pub(super) kin: Kin,
}

/// Fewer steps than this are cheaper as single commands, if none is half of a replacement.
const FEW: usize = 3;

impl Sozu {
    /// A running Sōzu. One that is adopted may hold what was applied before we came: it serves that on until the first
    /// target is applied.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(maker: Maker, wire: Wire, kin: Kin) -> Result<Self, Error> {
        let (instance, stranger) = Instance::find(maker.clone()).await?;
        let shadow = Shadow::new(wire);
        let (unaudited, parting) = (BTreeSet::new(), Parting::default());
        if !stranger {
            kin.listens(BTreeSet::new());
        }
        Ok(Self { instance, shadow, maker, order: Order::Kept, stranger, file: 0, starts: 1, unaudited, parting, closes: false, kin })
    }

    /// Whether it ran before we came and what it holds was not looked at yet.
    pub fn is_stranger(&self) -> bool {
        self.stranger
    }

    /// What it holds, as far as we know.
    pub fn shadow(&self) -> &Shadow {
        &self.shadow
    }

    /// Process id of the main process, if we started it.
    pub fn pid(&self) -> Option<u32> {
        self.instance.pid()
    }

    /// How many processes were started or adopted.
    pub fn starts(&self) -> u64 {
        self.starts
    }

    /// Process ids of its workers.
    pub fn workers(&self) -> &[i32] {
        self.instance.workers()
    }

    /// Waits until the process ends.
    pub async fn ended(&mut self) {
        self.instance.ended().await;
    }

    /// Lets requests in flight end, at most for `within`, then stops the process if it is ours.
    pub async fn stop(self, within: Duration) {
        self.instance.stop(within).await;
    }

    /// Brings Sōzu to `target`. What it refuses is returned by key, everything else is there; a process that lost its state
    /// is brought back first.
    ///
    /// # Errors
    /// The world's failures; the target may then be there in part, and is tried again by the next call.
    pub async fn apply(&mut self, target: &Target) -> Result<Vec<Refusal>, Error> {
        let mut turn = None;
        match self.instance.health().await {
            Health::Same => {}
            Health::WorkerRestarted => self.order = Order::Lost,
            Health::Gone => {
                turn = self.kin.turn_if_free();
                self.restart().await?;
            }
        }
        if self.stranger && !self.recognise(target).await? {
            tracing::warn!("the running Sōzu holds something else; starting over with an empty one");
            self.start_over(target).await?;
        } else if let Err(error) = self.advance(target).await {
            tracing::warn!(%error, "starting over with an empty Sōzu");
            drop(turn);
            self.start_over(target).await?;
        }
        self.kin.is_away(false);
        Ok(self.shadow.refusals())
    }

    /// Brings Sōzu to a last `target`; one that does not take it is left as it is.
    ///
    /// # Errors
    /// The world's failures.
    pub async fn close(&mut self, target: &Target) -> Result<(), Error> {
        self.closes = true;
        if self.stranger { Ok(()) } else { self.advance(target).await }
    }

    /// Takes over a Sōzu that ran before we came, if it holds the very target; whether it does. No file is needed for that: the
    /// volume may be full.
    async fn recognise(&mut self, target: &Target) -> Result<bool, Error> {
        let same = match self.is_recognised(target).await {
            Ok(same) => same,
            Err(error) => {
                tracing::warn!(%error, "the running Sōzu does not say what it holds");
                None
            }
        };
        let Some(shadow) = same else { return Ok(false) };
        tracing::info!("took over the running Sōzu with all that it holds");
        self.shadow = shadow;
        // In which order its worker holds its frontends is not told.
        self.order = Order::Lost;
        self.stranger = false;
        Ok(true)
    }

    async fn is_recognised(&mut self, target: &Target) -> Result<Option<Shadow>, Error> {
        let Some(shadow) = expected(self.shadow.wire().clone(), target)? else { return Ok(None) };
        Ok(holds(&mut self.instance, &shadow).await?.then_some(shadow))
    }

    /// A path for a state file.
    fn new_file(&mut self) -> PathBuf {
        self.file += 1;
        self.instance.dir().join(format!("state-{}-{}.json", std::process::id(), self.file))
    }

    /// Replaces a process that serves, while no sibling is being replaced.
    async fn start_over(&mut self, target: &Target) -> Result<(), Error> {
        let _turn = self.kin.turn().await;
        self.restart().await?;
        self.advance(target).await
    }

    async fn restart(&mut self) -> Result<(), Error> {
        let wire = self.shadow.wire().clone();
        self.kin.is_away(true);
        // The old process must be gone before the new one takes its socket and ports.
        self.instance.reap_now().await;
        self.instance = Instance::make(self.maker.clone()).await?;
        self.kin.listens(BTreeSet::new());
        self.starts += 1;
        self.shadow = Shadow::new(wire);
        self.order = Order::Kept;
        self.stranger = false;
        self.unaudited.clear();
        Ok(())
    }

    async fn advance(&mut self, target: &Target) -> Result<(), Error> {
        let target = self.parting.prolong(self.shadow.applied(), target);
        let mut accepted = steps(&self.shadow, &target, self.order)?;
        self.know_siblings(&accepted).await;
        let mut diverged = None;
        // In place: steps are large, and thousands of them at the start.
        accepted.retain(|step| {
            if diverged.is_some() {
                return false;
            }
            if step.adds {
                self.shadow.forgive(&step.item);
            }
            if self.is_held_by_others(step) {
                self.shadow.refuse(step, self.why_held(step));
                return false;
            }
            match self.shadow.take(step) {
                Ok(()) => return true,
                Err(reason) if step.adds => self.shadow.refuse(step, reason),
                Err(reason) => diverged = Some(Error::Diverged(format!("{:?}: {reason}", step.item))),
            }
            false
        });
        if let Some(diverged) = diverged {
            return Err(diverged);
        }
        let single = accepted.len() < FEW && accepted.iter().all(|step| !step.glued);
        if single {
            for step in &accepted {
                self.send(step).await?;
            }
        } else {
            for file in files(&accepted) {
                self.load(file).await?;
            }
        }
        self.unaudited.extend(accepted.iter().filter_map(cluster_of));
        self.order = Order::Kept;
        self.shadow.settle(target);
        self.note_ports();
        Ok(())
    }

    /// Sends one step as a single command.
    pub(super) async fn send(&mut self, step: &Step) -> Result<(), Error> {
        if let Some(reason) = self.shadow.lacks(step) {
            self.shadow.refuse(step, reason);
            return Ok(());
        }
        let reply = self.instance.command(step.request.clone()).await?;
        self.judge(step, &reply).await
    }

    /// What a single command's answer means.
    async fn judge(&mut self, step: &Step, reply: &Reply) -> Result<(), Error> {
        if reply.ok {
            return Ok(());
        }
        if !step.adds {
            return Err(Error::Diverged(format!("{:?}: {}", step.item, reply.message)));
        }
        self.shadow.revert(step);
        self.shadow.refuse(step, self.why(step, &reply.message));
        if let RequestType::ReplaceCertificate(replace) = &step.request
            && let Item::Certificate(port, _) = &step.item
        {
            let gone = self.shadow.wire().remove_certificate(*port, &replace.old_fingerprint);
            self.instance.command(gone).await?;
        }
        Ok(())
    }

    async fn load(&mut self, steps: &[Step]) -> Result<(), Error> {
        let file = match StateFile::write(self.new_file(), steps).await {
            Ok(file) => file,
            Err(error @ Error::File { .. }) => {
                // A full disk is no reason to fall behind; a frontend that is replaced is away for a moment, though.
                tracing::error!(%error, records = steps.len(), "no state file can be written; its records are sent one by one");
                for step in steps {
                    self.send(step).await?;
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let reply = self.instance.load(file.path()).await?;
        drop(file);
        if is_complete(&reply, steps.len() * self.instance.workers().len()) {
            return Ok(());
        }
        // One that ends refuses all of it.
        if self.closes {
            tracing::debug!(message = reply.message, records = steps.len(), "the last state file was not taken whole");
        } else {
            tracing::warn!(message = reply.message, notes = ?reply.notes, records = steps.len(), "state file not taken whole");
        }
        self.isolate(steps).await
    }

    /// Compares what was applied since the last audit with what every worker says it holds; a Sōzu that holds something else
    /// starts over with `target`. Whether there was anything to compare.
    ///
    /// A worker hashes all that it holds for this, so it is no part of an apply, whose cost must not grow with the edge.
    ///
    /// # Errors
    /// The world's failures.
    pub async fn audit(&mut self, target: &Target) -> Result<bool, Error> {
        let touched = std::mem::take(&mut self.unaudited);
        if touched.is_empty() {
            return Ok(false);
        }
        if !self.agrees(&touched).await? {
            tracing::error!(?touched, "Sōzu holds something else than was applied; starting over");
            self.start_over(target).await?;
            self.kin.is_away(false);
        }
        Ok(true)
    }

    /// Whether the hashes of these clusters are the shadow's, in every worker.
    async fn agrees(&mut self, touched: &BTreeSet<String>) -> Result<bool, Error> {
        let expected = self.shadow.hashes(touched.iter().map(String::as_str));
        let workers = held::hashes(&mut self.instance).await?;
        Ok(workers.is_some_and(|workers| workers.iter().all(|hashes| held::agree(hashes, &expected))))
    }

    /// A file was not taken whole: every record that is not there is tried alone, so that the one that is refused is known.
    async fn isolate(&mut self, steps: &[Step]) -> Result<(), Error> {
        let (mut present, relays) = self.frontends().await?;
        let listeners = self.listeners().await?;
        for step in steps {
            let done = match (&step.request, step.adds) {
                (RequestType::AddHttpFrontend(front) | RequestType::AddHttpsFrontend(front), _) => present.contains(&front.to_string()),
                (RequestType::AddTcpFrontend(front), _) => relays.contains(&SocketAddr::from(front.address)),
                (RequestType::RemoveTcpFrontend(front), _) => !relays.contains(&SocketAddr::from(front.address)),
                (RequestType::RemoveHttpFrontend(front) | RequestType::RemoveHttpsFrontend(front), _) => {
                    // Its successor may already stand in its place.
                    steps.iter().any(|other| other.adds && other.item == step.item) || !present.remove(&front.to_string())
                }
                (_, adds) => !adds,
            };
            if done {
                continue;
            }
            if !(matches!(step.item, Item::Listener(_)) && listeners.contains(&step.item)) {
                self.send(step).await?;
            }
        }
        Ok(())
    }

    /// The listeners that the main process holds.
    async fn listeners(&mut self) -> Result<BTreeSet<Item>, Error> {
        let reply = self.instance.command(RequestType::ListListeners(ListListeners {})).await?;
        let Some(ContentType::ListenersList(list)) = reply.content else {
            return Err(Error::Diverged("listeners cannot be listed".to_owned()));
        };
        let item = |kind| move |address: SocketAddr| Item::Listener(PortId { number: address.port(), kind });
        let http = list.http_listeners.into_values().map(|listener| listener.address.into()).map(item(PortKind::Http));
        let https = list.https_listeners.into_values().map(|listener| listener.address.into()).map(item(PortKind::Https));
        let relays = list.tcp_listeners.into_values().map(|listener| listener.address.into()).map(item(PortKind::Relay));
        Ok(http.chain(https).chain(relays).collect())
    }

    /// Identities of the frontends that the main process holds, and addresses of its relays: it takes back what every worker
    /// refused.
    async fn frontends(&mut self) -> Result<(BTreeSet<String>, BTreeSet<SocketAddr>), Error> {
        let filters = FrontendFilters { http: true, https: true, tcp: true, ..Default::default() };
        let reply = self.instance.command(RequestType::ListFrontends(filters)).await?;
        let Some(ContentType::FrontendList(list)) = reply.content else {
            return Err(Error::Diverged("frontends cannot be listed".to_owned()));
        };
        let relays = list.tcp_frontends.iter().map(|front| front.address.into()).collect();
        Ok((list.http_frontends.iter().chain(&list.https_frontends).map(ToString::to_string).collect(), relays))
    }
}

/// A load's last line counts every record in every worker, and nothing was skipped.
fn is_complete(reply: &Reply, answers: usize) -> bool {
    reply.ok
        && reply.message.ends_with(&format!(", {answers} ok messages, 0 errors"))
        && !reply.notes.iter().any(|note| note.contains("skipped"))
}

fn cluster_of(step: &Step) -> Option<String> {
    match &step.request {
        RequestType::AddCluster(cluster) => Some(cluster.cluster_id.clone()),
        RequestType::RemoveCluster(cluster) => Some(cluster.clone()),
        RequestType::AddBackend(backend) | RequestType::AddUnixBackend(backend) => Some(backend.cluster_id.clone()),
        RequestType::RemoveBackend(backend) => Some(backend.cluster_id.clone()),
        RequestType::AddHttpFrontend(front)
        | RequestType::AddHttpsFrontend(front)
        | RequestType::RemoveHttpFrontend(front)
        | RequestType::RemoveHttpsFrontend(front) => front.cluster_id.clone(),
        RequestType::AddTcpFrontend(front) | RequestType::RemoveTcpFrontend(front) => Some(front.cluster_id.clone()),
        _ => None,
    }
}
