//! A running `kakehi standalone` on free loopback ports, with the echo backends behind it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::client::{self, Answer};

/// How long anything may take to become true.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Two Sōzus share the ports of an edge, and one takes a change some milliseconds before the other: what holds so often in a row holds.
const IN_A_ROW: usize = 8;

/// Ports of the quickstart and what they are in this run.
#[derive(Clone, Copy)]
pub struct Ports {
    pub http: u16,
    pub https: u16,
    pub blue: u16,
    pub green: u16,
    pub admin: u16,
}

pub struct Rig {
    pub dir: tempfile::TempDir,
    pub ports: Ports,
    log: Arc<Mutex<String>>,
    kakehi: Child,
    _echo: Echo,
}

/// Echo backends.
pub struct Echo(Child);

impl Echo {
    /// Starts them: address and name of each.
    pub fn start(backends: &[(SocketAddr, &str)]) -> Self {
        let echo = binaries().join("examples/echo");
        assert!(echo.exists(), "the echo example is not built: run `cargo test --all-targets` or `cargo build --examples`");
        let listen = backends.iter().flat_map(|(address, name)| ["--listen".to_owned(), format!("{address}={name}")]);
        Self(Command::new(echo).args(listen).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody has, below those that the system gives to outgoing connections: rigs side by side never get one twice.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = (std::process::id() % 150) * 120 + TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + u16::try_from(number % 20_000).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn binaries() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_kakehi")).parent().unwrap().to_path_buf()
}

/// The sozu binary for tests, from `KAKEHI_SOZU` or the user cache that `make sozu` fills.
pub fn sozu() -> PathBuf {
    if let Some(path) = std::env::var_os("KAKEHI_SOZU") {
        return path.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let path = cache.join("kakehi/sozu-2.3.3-release/bin/sozu");
    assert!(path.exists(), "no sozu binary: run `make sozu`, or set KAKEHI_SOZU");
    path
}

impl Rig {
    /// Copies the quickstart with its ports replaced, applies `edit` to the directory, and starts everything.
    pub fn start(arguments: &[&str], edit: impl FnOnce(&Path, Ports)) -> Self {
        let rig = Self::begin(arguments, edit);
        rig.eventually("ready", || rig.admin("/readyz").status == 200);
        rig
    }

    /// The same without waiting until it is ready.
    pub fn begin(arguments: &[&str], edit: impl FnOnce(&Path, Ports)) -> Self {
        Self::begin_by(&[], arguments, edit)
    }

    /// The same by another program, which is given kakehi's command line after words of its own and becomes kakehi.
    pub fn begin_by(prefix: &[&str], arguments: &[&str], edit: impl FnOnce(&Path, Ports)) -> Self {
        let ports = Ports { http: free_port(), https: free_port(), blue: free_port(), green: free_port(), admin: free_port() };
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        fs::create_dir(&config).unwrap();
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/standalone")).unwrap() {
            let path = entry.unwrap().path();
            let text = replace_ports(&fs::read_to_string(&path).unwrap(), ports);
            fs::write(config.join(path.file_name().unwrap()), text).unwrap();
        }
        edit(&config, ports);
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let echo = Echo::start(&[(local(ports.blue), "blue"), (local(ports.green), "green")]);
        let words: Vec<_> = prefix.iter().copied().chain([env!("CARGO_BIN_EXE_kakehi")]).collect();
        let mut kakehi = Command::new(words[0])
            .args(&words[1..])
            .arg("standalone")
            .arg("--config-dir")
            .arg(&config)
            .arg("--status-dir")
            .arg(dir.path().join("status"))
            .args(if arguments.contains(&"--sozu") { Vec::new() } else { vec!["--sozu".into(), sozu().into_os_string()] })
            .args(["--admin", &format!("127.0.0.1:{}", ports.admin)])
            .args(arguments)
            .env("KAKEHI_SOZU_LOG", if arguments.contains(&"trace") { "trace" } else { "error" })
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        collect(kakehi.stdout.take().unwrap(), &log);
        collect(kakehi.stderr.take().unwrap(), &log);
        Self { dir, ports, log, kakehi, _echo: echo }
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    pub fn pid(&self) -> u32 {
        self.kakehi.id()
    }

    pub fn alive(&mut self) -> bool {
        self.kakehi.try_wait().unwrap().is_none()
    }

    /// Everything that the processes printed so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Nothing that the processes print is read while this is held.
    pub fn deaf(&self) -> std::sync::MutexGuard<'_, String> {
        self.log.lock().unwrap()
    }

    /// Writes a manifest as an editor does: beside, then renamed over.
    pub fn write(&self, name: &str, text: &str) {
        let beside = self.dir.path().join("beside");
        fs::write(&beside, replace_ports(text, self.ports)).unwrap();
        fs::rename(beside, self.config().join(name)).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.config().join(name)).unwrap();
    }

    pub fn http(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.http).into()
    }

    /// GET on the HTTP listener with `Host: demo.localhost`.
    pub fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        client::get(self.http(), "demo.localhost", target, headers).unwrap()
    }

    pub fn admin(&self, page: &str) -> Answer {
        client::get((Ipv4Addr::LOCALHOST, self.ports.admin).into(), "admin", page, &[]).unwrap_or_default()
    }

    /// Waits until `check` holds.
    pub fn eventually(&self, what: &str, mut check: impl FnMut() -> bool) {
        let started = Instant::now();
        while !(0..IN_A_ROW).all(|_| check()) {
            assert!(started.elapsed() < PATIENCE, "never came true: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The status file of an object, once it is there and `check` accepts it.
    pub fn status(&self, file: &str, check: impl Fn(&str) -> bool) -> String {
        let path = self.dir.path().join("status").join(file);
        let mut text = String::new();
        self.eventually(&format!("status {file}"), || {
            text = fs::read_to_string(&path).unwrap_or_default();
            !text.is_empty() && check(&text)
        });
        text
    }

    /// How it exited, if it did.
    pub fn exit(&mut self) -> Option<i32> {
        self.kakehi.try_wait().unwrap()?.code()
    }

    /// Asks the process to end and returns whether it did so in time.
    pub fn terminate(&mut self) -> bool {
        let _ = Command::new("kill").arg(self.pid().to_string()).status();
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if !self.alive() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !self.terminate() {
            let _ = self.kakehi.kill();
            let _ = self.kakehi.wait();
        }
    }
}

fn collect(from: impl Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = log.clone();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            log.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

/// The quickstart's ports as this run has them.
pub fn replace_ports(text: &str, ports: Ports) -> String {
    let pairs = [("8080", ports.http), ("8443", ports.https), ("9101", ports.blue), ("9102", ports.green)];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, &to.to_string()))
}
