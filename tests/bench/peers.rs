//! The backends of all measurements and the proxies that Kakehi is measured beside: one worker each.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::certificates::Leaf;
use super::{configs, rig};

/// A server of ours with its private directory.
pub struct Server {
    pub name: &'static str,
    /// Plaintext; of the backend HTTP/1.1.
    pub address: SocketAddr,
    /// TLS; of the backend HTTP/2 with prior knowledge.
    pub second: SocketAddr,
    child: Child,
    _directory: tempfile::TempDir,
}

/// What a proxy is configured with.
#[derive(Clone, Copy)]
pub struct Front<'a> {
    /// Plaintext.
    pub address: SocketAddr,
    /// TLS, as far as the proxy is measured with it.
    pub tls: SocketAddr,
    /// A directory of its own, with `tls.crt` and `tls.key`.
    pub directory: &'a Path,
}

/// Where requests end.
#[derive(Clone, Copy)]
pub struct Backends {
    /// nginx: 64 bytes, and `/large` with 1 MiB.
    pub plain: SocketAddr,
    /// nginx over HTTP/2 with prior knowledge: every call of a gRPC service succeeds.
    pub grpc: SocketAddr,
    /// Reads what it is sent, then answers.
    pub upload: SocketAddr,
}

/// Size of the large answers, and of the requests that are uploaded.
pub const LARGE: usize = 1 << 20;

impl Server {
    /// CPU time of its processes.
    pub fn cpu(&self) -> Duration {
        rig::cpu_of_tree(self.child.id().unwrap())
    }

    async fn start(
        name: &'static str,
        (program, arguments): (PathBuf, &[&str]),
        leaf: Option<&Leaf>,
        config: impl FnOnce(Front<'_>) -> String,
    ) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let front = Front { address: rig::free_port(), tls: rig::free_port(), directory: directory.path() };
        if let Some(leaf) = leaf {
            std::fs::write(directory.path().join("tls.crt"), &leaf.certificate).unwrap();
            std::fs::write(directory.path().join("tls.key"), &leaf.key).unwrap();
        }
        std::fs::write(directory.path().join("large"), vec![b'x'; LARGE]).unwrap();
        let extension = match name {
            "envoy" => "yaml",
            "sozu" => "toml",
            _ => "conf",
        };
        let file = directory.path().join("config").with_extension(extension);
        std::fs::write(&file, config(front)).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(program);
        let file = file.to_string_lossy();
        command.args(arguments.iter().map(|argument| if *argument == FILE { &file } else { *argument }));
        command.env("TMPDIR", directory.path()).env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                println!("{name} is left out: {error} (config/install-bench-tools installs it)");
                return None;
            }
        };
        for _ in 0..200 {
            if TcpStream::connect(front.address).await.is_ok() {
                return Some(Self { name, address: front.address, second: front.tls, child, _directory: directory });
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        println!("{name} is left out, it does not listen: {}", std::fs::read_to_string(directory.path().join("log")).unwrap_or_default());
        None
    }
}

/// Stands for the configuration file among arguments.
const FILE: &str = "FILE";

/// The backend: nginx with one worker, on 127.0.0.1 and on 127.0.0.2.
pub async fn backend() -> Server {
    match Server::start("nginx", (system("nginx"), &["-c", FILE]), None, configs::backend).await {
        Some(server) => server,
        None => panic!("the measurements need nginx as their backend: config/install-bench-tools installs it"),
    }
}

/// Every other proxy that is installed, and Sōzu as its own users run it, in front of the backends.
pub async fn proxies(backends: Backends, leaf: &Leaf) -> Vec<Server> {
    let leaf = Some(leaf);
    let envoy = (envoy_path(), ["--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c", FILE]);
    let all = [
        Server::start("envoy", (envoy.0, &envoy.1), leaf, |front| configs::envoy(front, backends)).await,
        Server::start("sozu", (rig::sozu(), &["--config", FILE, "start"]), leaf, |front| configs::sozu(front, backends)).await,
        Server::start("nginx", (system("nginx"), &["-c", FILE]), leaf, |front| configs::nginx(front, backends)).await,
        Server::start("haproxy", (system("haproxy"), &["-db", "-f", FILE]), leaf, |front| configs::haproxy(front, backends)).await,
    ];
    all.into_iter().flatten().collect()
}

/// Starts what uploads end at, on a thread of its own.
pub fn upload() -> SocketAddr {
    let address = rig::free_port();
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(async |request: http::Request<hyper::body::Incoming>| {
                    let mut body = request.into_body();
                    while body.frame().await.transpose()?.is_some() {}
                    Ok::<_, hyper::Error>(http::Response::new(Full::new(bytes::Bytes::from_static(&[b'x'; 64]))))
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    address
}

fn system(program: &str) -> PathBuf {
    let sbin = Path::new("/usr/sbin").join(program);
    if sbin.exists() { sbin } else { program.into() }
}

fn envoy_path() -> PathBuf {
    let cache = std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap_or_default()));
    let root = Path::new(&cache).join("kakehi");
    let mut found: Vec<_> = std::fs::read_dir(root).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()).collect();
    found.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("envoy-")));
    found.sort();
    found.pop().map_or_else(|| "envoy".into(), |venv| venv.join("bin/envoy"))
}
