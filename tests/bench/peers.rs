//! The backend of all measurements and the proxies that Kakehi is measured beside: one worker each.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::rig;

/// A server of ours with its private directory.
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    child: Child,
    _directory: tempfile::TempDir,
}

impl Server {
    /// CPU time of its processes.
    pub fn cpu(&self) -> Duration {
        rig::cpu_of_tree(self.child.id().unwrap())
    }

    async fn start(
        name: &'static str,
        program: PathBuf,
        arguments: &[&str],
        config: impl FnOnce(SocketAddr, &Path) -> String,
    ) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let address = rig::free_port();
        let file = directory.path().join(if name == "envoy" { "envoy.yaml" } else { "config" });
        std::fs::write(&file, config(address, directory.path())).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).arg(&file).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                println!("{name} is left out: {error} (config/install-bench-tools installs it)");
                return None;
            }
        };
        for _ in 0..200 {
            if TcpStream::connect(address).await.is_ok() {
                return Some(Self { name, address, child, _directory: directory });
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        println!("{name} is left out, it does not listen: {}", std::fs::read_to_string(directory.path().join("log")).unwrap_or_default());
        None
    }
}

/// The backend: nginx with one worker and an answer of 64 bytes, on 127.0.0.1 and on 127.0.0.2.
pub async fn backend() -> Server {
    let body = "x".repeat(64);
    let nginx = Server::start("nginx", system("nginx"), &NGINX, |address, directory| {
        nginx_config(
            directory,
            &format!("server {{ listen {address}; listen 127.0.0.2:{}; location / {{ return 200 {body}; }} }}", address.port()),
        )
    });
    match nginx.await {
        Some(server) => server,
        None => panic!("the measurements need nginx as their backend: config/install-bench-tools installs it"),
    }
}

/// Every other proxy that is installed, in front of `backend`.
pub async fn proxies(backend: SocketAddr) -> Vec<Server> {
    let nginx = Server::start("nginx", system("nginx"), &NGINX, |address, directory| {
        let upstream = format!("upstream backend {{ server {backend}; keepalive 128; keepalive_requests 100000000; }}");
        let headers = "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;";
        let server =
            format!("server {{ listen {address}; server_name native.bench.test; location / {{ {headers} proxy_pass http://backend; }} }}");
        nginx_config(directory, &format!("{upstream}\n{server}"))
    });
    let haproxy = Server::start("haproxy", system("haproxy"), &["-db", "-f"], |address, _| haproxy_config(address, backend));
    let envoy =
        Server::start("envoy", envoy_path(), &["--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c"], |address, _| {
            envoy_config(address, backend)
        });
    [nginx.await, haproxy.await, envoy.await].into_iter().flatten().collect()
}

const NGINX: [&str; 1] = ["-c"];

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

/// One process: no master, one worker.
fn nginx_config(directory: &Path, http: &str) -> String {
    let directory = directory.display();
    let places: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].iter().map(|kind| format!("{kind}_temp_path {directory}/{kind};\n")).collect();
    format!(
        "daemon off; master_process off; worker_processes 1; pid {directory}/pid; error_log stderr warn;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 100000000; tcp_nodelay on;\n{places}{http}\n}}\n"
    )
}

fn haproxy_config(address: SocketAddr, backend: SocketAddr) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 4096\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  http-reuse always\n  option forwardfor\n\
         frontend front\n  bind {address}\n  use_backend back if {{ hdr(host) -i native.bench.test }}\n\
         backend back\n  server one {backend}\n"
    )
}

fn envoy_config(address: SocketAddr, backend: SocketAddr) -> String {
    format!(
        r#"static_resources:
  listeners:
    - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: front
                use_remote_address: true
                route_config:
                  virtual_hosts: [{{ name: native, domains: [native.bench.test], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: back }} }}] }}]
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
    - name: back
      type: STATIC
      connect_timeout: 5s
      load_assignment:
        cluster_name: back
        endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }} }}] }}]
"#,
        address.port(),
        backend.port()
    )
}
