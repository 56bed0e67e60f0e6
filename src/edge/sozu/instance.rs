//! A Sōzu process: made by us (standalone), or somebody else's whose socket we adopt.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use sozu_command_lib::proto::command::request::RequestType;
use sozu_command_lib::proto::command::response_content::ContentType;
use sozu_command_lib::proto::command::{HardStop, ListListeners};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::output::{self, Output};
use super::query::workers;
use super::strays::{end_stray, end_strays, strays};
use super::{Error, Reply, Socket, SocketError, access, ending};
use crate::edge::budget::SozuBudget;

/// How a process comes to be.
#[derive(Clone, Debug)]
pub enum Maker {
    /// We start it.
    Spawn(SpawnSettings),
    /// It is started, and restarted, by somebody else; its command socket is here.
    Adopt(PathBuf),
}

/// How to start a Sōzu.
#[derive(Clone, Debug)]
pub struct SpawnSettings {
    /// The binary.
    pub program: PathBuf,
    /// Directory of its own, for this user only: configuration, command socket, state files, temporary files.
    pub dir: PathBuf,
    /// Its log level: `error`, `warn`, `info`, `debug`, `trace`.
    pub log_level: String,
    /// How much it may hold.
    pub budget: SozuBudget,
}

/// A process, with the connection to it.
#[derive(Debug)]
pub struct Instance {
    maker: Maker,
    child: Option<Child>,
    /// Process id of the main process of one that a launcher before us started.
    orphan: Option<Pid>,
    socket: Socket,
    workers: Vec<i32>,
    /// Logs what it prints; none where a launcher keeps it, which logs that.
    _output: Option<Output>,
}

/// What happened since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Nothing.
    Same,
    /// A worker restarted; the main process gave it everything, in an order of its own.
    WorkerRestarted,
    /// The process is not there, or does not answer.
    Gone,
}

/// Name of the command socket of a process that we start.
pub const COMMAND_SOCKET: &str = "command.sock";
/// Name of the file that it reads.
const CONFIGURATION: &str = "sozu.toml";
/// A process is up within this, or it is not.
const START: Duration = Duration::from_secs(10);
/// A session without any event for this long is given up: longer than any clock of a listener.
const ZOMBIE_SECONDS: u32 = super::request::LONG_SECONDS + 30 * 60;
/// A single command is answered within this; Sōzu itself gives a worker 10 s.
pub(super) const COMMAND: Duration = Duration::from_secs(12);
/// Requests are recorded at the level info of these modules, which log nothing else at it.
const RECORDED: &str = "sozu_lib::protocol::mux::stream=info,sozu_lib::protocol::pipe=info";
/// Workers notice within this that their main process is gone.
const WORKER_END: Duration = Duration::from_secs(1);
/// A state file is answered within this.
const LOAD: Duration = Duration::from_secs(60);

impl Instance {
    /// A running process that holds nothing.
    pub(super) async fn make(maker: Maker) -> Result<Self, Error> {
        let (child, socket) = match &maker {
            Maker::Spawn(settings) => {
                let (child, socket) = spawn(settings).await?;
                (Some(child), socket)
            }
            Maker::Adopt(path) => (None, adopt(path, true).await?.0),
        };
        Self::with(maker, child, socket).await
    }

    /// One that a launcher before us left behind with the very configuration, and that serves; else a new one.
    pub(super) async fn keep(settings: &SpawnSettings) -> Result<Self, Error> {
        match Self::found(settings).await {
            Some(kept) => Ok(kept),
            None => Self::make(Maker::Spawn(settings.clone())).await,
        }
    }

    /// One that a launcher before us left behind with the very configuration. One that does not answer is ended.
    pub(super) async fn found(settings: &SpawnSettings) -> Option<Self> {
        let (socket, main) = left_behind(settings).await?;
        match Self::with(Maker::Spawn(settings.clone()), None, socket).await {
            Ok(mut kept) => {
                tracing::warn!(pid = main.as_raw_nonzero(), "keeping a Sōzu that was left behind");
                kept.orphan = Some(main);
                Some(kept)
            }
            Err(error) => {
                tracing::warn!(%error, "a Sōzu that was left behind does not answer");
                end_stray(main);
                None
            }
        }
    }

    /// The same, but one that runs already may hold a state: whether it does.
    pub(super) async fn find(maker: Maker) -> Result<(Self, bool), Error> {
        let Maker::Adopt(path) = &maker else { return Ok((Self::make(maker).await?, false)) };
        let (socket, holds) = adopt(path, false).await?;
        Ok((Self::with(maker, None, socket).await?, holds))
    }

    async fn with(maker: Maker, child: Option<Child>, socket: Socket) -> Result<Self, Error> {
        let output = match &maker {
            Maker::Spawn(settings) => Some(Output::follow(&settings.dir, child.is_some())),
            Maker::Adopt(_) => None,
        };
        let mut instance = Self { maker, child, orphan: None, socket, workers: Vec::new(), _output: output };
        let since = Instant::now();
        loop {
            instance.workers = instance.running().await?;
            if !instance.workers.is_empty() {
                return Ok(instance);
            }
            if since.elapsed() > START {
                return Err(Error::NotUp("no worker is running".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends one command.
    pub(super) async fn command(&mut self, request: RequestType) -> Result<Reply, Error> {
        Ok(self.socket.request(request, COMMAND).await?)
    }

    /// Has a state file loaded.
    pub(super) async fn load(&mut self, path: &Path) -> Result<Reply, Error> {
        Ok(self.socket.request(RequestType::LoadState(path.to_string_lossy().into_owned()), LOAD).await?)
    }

    /// Process ids of the running workers.
    async fn running(&mut self) -> Result<Vec<i32>, Error> {
        Ok(workers(&mut self.socket, COMMAND).await?)
    }

    /// Looks whether the process is what it was.
    pub(super) async fn health(&mut self) -> Health {
        if let Some(child) = &mut self.child
            && !matches!(child.try_wait(), Ok(None))
        {
            return Health::Gone;
        }
        match self.running().await {
            Ok(workers) if workers == self.workers => Health::Same,
            Ok(workers) => {
                self.workers = workers;
                Health::WorkerRestarted
            }
            Err(error) => {
                tracing::warn!(%error, "Sōzu does not answer");
                Health::Gone
            }
        }
    }

    /// Waits until the process ends.
    pub(super) async fn ended(&mut self) {
        match &mut self.child {
            Some(child) => {
                let status = child.wait().await;
                tracing::debug!(?status, "Sōzu ended");
            }
            // Nobody speaks on it unasked, so this is the end of the process.
            None => {
                self.socket.closed().await;
                tracing::debug!("the adopted Sōzu is gone");
            }
        }
    }

    /// How it ended, of one that has and that we started.
    pub(super) fn end(&mut self) -> Error {
        let status = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        Error::Ended(status.map_or_else(|| "an unknown status".to_owned(), |status| status.to_string()))
    }

    /// Whether a launcher before us started it.
    pub(super) fn is_orphan(&self) -> bool {
        self.orphan.is_some()
    }

    /// Directory for state files.
    pub(super) fn dir(&self) -> PathBuf {
        match &self.maker {
            Maker::Spawn(settings) => settings.dir.clone(),
            Maker::Adopt(socket) => socket.parent().unwrap_or(Path::new(".")).to_owned(),
        }
    }

    /// Process id of the main process, if it is ours.
    pub(super) fn pid(&self) -> Option<u32> {
        let orphan = self.orphan.map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
        self.child.as_ref().and_then(Child::id).or(orphan)
    }

    /// Process ids of the workers at the last look.
    pub(super) fn workers(&self) -> &[i32] {
        &self.workers
    }

    /// Closes its ports, lets what is in flight end, at most for `within`, then stops the process if it is ours.
    pub(super) async fn stop(mut self, within: Duration) {
        if self.pid().is_none() {
            return;
        }
        let deadline = Instant::now() + within;
        match Socket::connect(&self.dir().join(COMMAND_SOCKET)).await {
            Ok(mut socket) => {
                let left = ending::end(&mut socket, deadline).await;
                self.reap(left).await;
            }
            Err(error) => {
                tracing::warn!(%error, "Sōzu cannot be asked to end");
                self.reap(Duration::ZERO).await;
            }
        }
    }

    /// Ends the process now, if it is ours.
    pub(super) async fn reap_now(&mut self) {
        self.reap(Duration::ZERO).await;
    }

    async fn reap(&mut self, within: Duration) {
        if let Some(mut child) = self.child.take() {
            if tokio::time::timeout(within, child.wait()).await.is_err()
                && let Err(error) = child.kill().await
            {
                tracing::warn!(%error, "Sōzu cannot be killed");
            }
        } else if let Some(main) = self.orphan.take() {
            if tokio::time::timeout(within, self.socket.closed()).await.is_err() {
                end_stray(main);
            }
        } else {
            return;
        }
        self.workers.clear();
        end_strays(&self.dir(), WORKER_END).await;
    }
}

impl Drop for Instance {
    /// A process that nobody stopped goes at once, and its workers with it.
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if let Err(error) = child.start_kill() {
                tracing::debug!(%error, "Sōzu is gone already");
            }
        } else if let Some(main) = self.orphan.take() {
            end_stray(main);
        } else {
            return;
        }
        for pid in strays(&self.dir()) {
            end_stray(pid);
        }
    }
}

/// The process behind a socket, and whether it holds a state. One that must be `empty` and is not is asked to end, and whoever
/// keeps it starts it again.
async fn adopt(path: &Path, empty: bool) -> Result<(Socket, bool), Error> {
    let since = Instant::now();
    loop {
        let socket = match Socket::connect(path).await {
            Ok(mut socket) => match is_empty(&mut socket).await {
                Ok(is_empty) if is_empty || !empty => return Ok((socket, !is_empty)),
                Ok(_) => socket.request(RequestType::HardStop(HardStop {}), COMMAND).await.map(drop),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        if since.elapsed() > START {
            let reason = socket.err().map_or_else(|| "it holds a state and does not restart".to_owned(), |error| error.to_string());
            return Err(Error::NotUp(reason));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_empty(socket: &mut Socket) -> Result<bool, SocketError> {
    let reply = socket.request(RequestType::ListListeners(ListListeners {}), COMMAND).await?;
    Ok(match reply.content {
        Some(ContentType::ListenersList(list)) => list.http_listeners.is_empty() && list.https_listeners.is_empty(),
        _ => false,
    })
}

async fn spawn(settings: &SpawnSettings) -> Result<(Child, Socket), Error> {
    let socket_path = settings.dir.join(COMMAND_SOCKET);
    evict(&socket_path).await;
    end_strays(&settings.dir, WORKER_END).await;
    // A new file tells the reader that what comes is another process's.
    if let Err(error) = tokio::fs::remove_file(settings.dir.join(access::FILE)).await {
        tracing::trace!(%error, "no access log left behind");
    }
    let config_path = settings.dir.join(CONFIGURATION);
    let file = |source| Error::File { path: config_path.clone(), source };
    let wanted = configuration(settings, &socket_path);
    // On a full volume what is there already can stay.
    if tokio::fs::read_to_string(&config_path).await.ok().as_ref() != Some(&wanted) {
        tokio::fs::write(&config_path, wanted).await.map_err(file)?;
    }
    let (stdout, stderr) = output::open(&settings.dir).map_err(|source| Error::File { path: settings.dir.join(output::FILE), source })?;
    let mut child = Command::new(&settings.program)
        .arg("--config")
        .arg(&config_path)
        .arg("start")
        .env("TMPDIR", &settings.dir)
        // It would replace the log level, and with it the record of requests.
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| Error::Start { program: settings.program.clone(), source })?;
    let since = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            Output::tell(&settings.dir);
            return Err(Error::Ended(status.to_string()));
        }
        match Socket::connect(&socket_path).await {
            Ok(socket) => return Ok((child, socket)),
            Err(error) if since.elapsed() > START => return Err(Error::NotUp(error.to_string())),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Stops a process that a supervisor before us left behind on this socket: it would share our ports.
async fn evict(socket: &Path) {
    if let Ok(mut old) = Socket::connect(socket).await {
        let asked = old.request(RequestType::HardStop(HardStop {}), COMMAND).await;
        tracing::warn!(?asked, "stopped a Sōzu that was left behind");
    }
    if let Err(error) = tokio::fs::remove_file(socket).await {
        tracing::trace!(%error, "no socket left behind");
    }
}

/// The socket and the main process of a Sōzu that a launcher before us started as we would, if it runs.
async fn left_behind(settings: &SpawnSettings) -> Option<(Socket, Pid)> {
    let path = settings.dir.join(COMMAND_SOCKET);
    let held = tokio::fs::read_to_string(settings.dir.join(CONFIGURATION)).await.ok()?;
    if held != configuration(settings, &path) {
        return None;
    }
    let socket = Socket::connect(&path).await.ok()?;
    let main = socket.process()?;
    Some((socket, main))
}

/// A minimal configuration: everything else comes over the socket.
fn configuration(settings: &SpawnSettings, socket: &Path) -> String {
    let SozuBudget { workers, places, buffers, buffer_bytes, connections_per_address } = settings.budget;
    let lines = [
        format!("command_socket = {:?}", socket.to_string_lossy()),
        format!("worker_count = {workers}"),
        "worker_automatic_restart = true".to_owned(),
        "activate_listeners = false".to_owned(),
        "handle_process_affinity = false".to_owned(),
        format!("max_connections = {places}"),
        format!("max_buffers = {buffers}"),
        format!("buffer_size = {buffer_bytes}"),
        format!("max_connections_per_ip = {connections_per_address}"),
        format!("zombie_check_interval = {ZOMBIE_SECONDS}"),
        format!("log_level = {:?}", format!("{},{RECORDED}", settings.log_level)),
        "log_target = \"stdout\"".to_owned(),
        format!("access_logs_target = {:?}", format!("file://{}", settings.dir.join(access::FILE).display())),
        "access_logs_format = \"protobuf\"".to_owned(),
    ];
    lines.join("\n") + "\n"
}
