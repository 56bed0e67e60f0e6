//! Every setting: a flag, the `KAKEHI_*` variable that stands in for it, its default and what it does.

mod provision;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgAction, Args, ValueEnum};

pub use self::provision::{PodsOfTenants, ProvisionSettings};

use crate::access_log::AccessLogSettings;
use crate::edge::{parse_memory, plan};
use crate::model::capacity::{DRAIN, MEMORY};
use crate::model::{BackendId, EdgeId, RESERVED_PORTS};
use crate::observe::log::{Format, levels};
use crate::store::cluster::Namespaces;
use crate::store::names::{Limits, Names};
use crate::trace::Expected;
use crate::translate;

/// Logging, for every subcommand.
#[derive(Args, Clone, Debug)]
pub struct LogSettings {
    /// What to log: a level, or per module, such as `info,kakehi::edge=debug`
    #[arg(long, env = "KAKEHI_LOG", default_value = "info", global = true, value_parser = levels)]
    pub log: String,
    /// How log lines look
    #[arg(long, env = "KAKEHI_LOG_FORMAT", value_enum, default_value_t = Format::Text, global = true)]
    pub log_format: Format,
}

impl LogSettings {
    /// The flags that give a child process the same logs.
    pub fn flags(&self) -> [String; 4] {
        let format = match self.log_format {
            Format::Text => "text",
            Format::Json => "json",
        };
        ["--log".into(), self.log.clone(), "--log-format".into(), format.into()]
    }
}

/// What concerns Ingress.
#[derive(Args, Clone, Debug)]
pub struct IngressSettings {
    /// Controller that an IngressClass must name to be ours
    #[arg(long, env = "KAKEHI_INGRESS_CONTROLLER_NAME", default_value = "kakehi.dev/ingress-controller", value_name = "NAME")]
    pub ingress_controller_name: String,
    /// Port for HTTP of the edge of an IngressClass
    #[arg(long, env = "KAKEHI_INGRESS_HTTP_PORT", default_value_t = 80, value_name = "PORT", value_parser = listener_port)]
    pub ingress_http_port: u16,
    /// Port for HTTPS of the edge of an IngressClass
    #[arg(long, env = "KAKEHI_INGRESS_HTTPS_PORT", default_value_t = 443, value_name = "PORT", value_parser = listener_port)]
    pub ingress_https_port: u16,
    /// Service port that answers requests which no Ingress of a class takes; default: they are answered 404
    #[arg(long, env = "KAKEHI_DEFAULT_BACKEND", value_name = "NAMESPACE/NAME:PORT")]
    pub default_backend: Option<BackendId>,
}

impl IngressSettings {
    /// What translation is told. `without_class`: Ingresses that name no class belong to the default class.
    ///
    /// # Errors
    /// When one port is to serve both.
    pub fn translation(&self, without_class: bool) -> Result<translate::IngressSettings, SamePort> {
        let ports = (self.ingress_http_port, self.ingress_https_port);
        if ports.0 == ports.1 {
            return Err(SamePort(ports.0));
        }
        Ok(translate::IngressSettings {
            controller_name: self.ingress_controller_name.clone(),
            ports,
            default_backend: self.default_backend.clone(),
            without_class,
            cluster_profiles: None,
            claims: None,
        })
    }
}

/// HTTP and HTTPS on one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--ingress-http-port and --ingress-https-port are both {0}")]
pub struct SamePort(u16);

/// A port that listeners may have.
fn listener_port(text: &str) -> Result<u16, String> {
    let port = text.parse::<u16>().ok().filter(|port| *port > 0).ok_or("not a port, which is a number from 1 to 65535")?;
    match RESERVED_PORTS.iter().find(|(reserved, _)| *reserved == port) {
        Some((_, purpose)) => Err(format!("the edge's own, for {purpose}")),
        None => Ok(port),
    }
}

/// Services of type ExternalName.
#[derive(Args, Clone, Debug)]
pub struct NameSettings {
    /// Serve Services of type ExternalName. Whoever may create Services can then send requests to whatever edges reach, except
    /// the cluster's own Services and special addresses
    #[arg(long, env = "KAKEHI_ALLOW_EXTERNAL_NAMES")]
    pub allow_external_names: bool,
    /// DNS server that is asked for them; may be given several times; default: those of /etc/resolv.conf
    #[arg(long, env = "KAKEHI_NAMESERVER", value_name = "IP:PORT", value_delimiter = ',')]
    pub nameserver: Vec<SocketAddr>,
}

impl NameSettings {
    /// The source of their addresses; none when they are not served.
    pub fn source(&self) -> Option<Names> {
        self.allow_external_names.then(|| Names::new(&self.nameserver, Limits::default()))
    }
}

/// Where objects come from when there is no cluster.
#[derive(Args, Clone, Debug)]
pub struct DirectorySettings {
    /// Directory of CustomResourceDefinitions whose defaults and checks apply to the manifests
    #[arg(long, env = "KAKEHI_CRDS", value_name = "DIR")]
    pub crds: Option<PathBuf>,
    /// Controller name that a GatewayClass must have to be ours
    #[arg(long, env = "KAKEHI_CONTROLLER_NAME", default_value = "kakehi.dev/gateway-controller", value_name = "NAME")]
    pub controller_name: String,
    /// Ingress
    #[command(flatten)]
    pub ingress: IngressSettings,
    /// Services of type ExternalName
    #[command(flatten)]
    pub names: NameSettings,
    /// Address of edges of IngressClasses, and of Gateways that ask for none
    #[arg(long, env = "KAKEHI_ADDRESS", default_value = "127.0.0.1", value_name = "IP")]
    pub address: IpAddr,
    /// Serve every route through the filter proxy, none by Sōzu alone
    #[arg(long, env = "KAKEHI_FORCE_HOP")]
    pub force_hop: bool,
    /// Relay the connections of every port to the filter proxy
    #[arg(long, env = "KAKEHI_FORCE_RELAY")]
    pub force_relay: bool,
}

impl DirectorySettings {
    /// How edges plan.
    pub fn plan_options(&self) -> plan::Options {
        plan::Options { force_hop: self.force_hop, force_relay: self.force_relay }
    }
}

/// `kakehi standalone`.
#[derive(Args, Clone, Debug)]
pub struct StandaloneSettings {
    /// Directory of manifests, read recursively and watched
    #[arg(long, env = "KAKEHI_CONFIG_DIR", value_name = "DIR")]
    pub config_dir: PathBuf,
    /// Refuse to start when a manifest is refused or a file cannot be read. Without it such a start serves the rest, and is
    /// not ready before that is mended
    #[arg(long, env = "KAKEHI_STRICT")]
    pub strict: bool,
    /// Defaults, checks and identity
    #[command(flatten)]
    pub directory: DirectorySettings,
    /// Address of the admin port: /healthz /readyz /metrics, and for callers on the same machine or in the same pod
    /// /debug/report /debug/snapshot /debug/plan /debug/endpoints
    #[arg(long, env = "KAKEHI_ADMIN", default_value = "127.0.0.1:9901", value_name = "IP:PORT")]
    pub admin: SocketAddr,
    /// Directory that receives one YAML per object with its status
    #[arg(long, env = "KAKEHI_STATUS_DIR", value_name = "DIR")]
    pub status_dir: Option<PathBuf>,
    /// The sozu binary
    #[arg(long, env = "KAKEHI_SOZU", default_value = "sozu", value_name = "PATH")]
    pub sozu: PathBuf,
    /// Private directory for sockets and state; default: a new one, removed at the end
    #[arg(long, env = "KAKEHI_RUNTIME_DIR", value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
    /// Seconds that requests, streams and tunnels in flight may take when an edge ends
    #[arg(long, env = DRAIN, default_value_t = 3, value_name = "SECONDS")]
    pub drain: u64,
    /// Memory of one edge's processes, in bytes, from which the connections follow that it holds. Default: the limit of the control
    /// group, else a quarter of the machine's
    #[arg(long, env = MEMORY, value_name = "BYTES", value_parser = parse_memory)]
    pub memory: Option<u64>,
    /// Access log of the edges whose EdgeProfile says nothing
    #[command(flatten)]
    pub access_log: AccessLogSettings,
}

/// `kakehi controller`.
#[derive(Args, Clone, Debug)]
pub struct ControllerSettings {
    /// Controller name that a GatewayClass must have to be ours
    #[arg(long, env = "KAKEHI_CONTROLLER_NAME", default_value = "kakehi.dev/gateway-controller", value_name = "NAME")]
    pub controller_name: String,
    /// Ingress
    #[command(flatten)]
    pub ingress: IngressSettings,
    /// Services of type ExternalName
    #[command(flatten)]
    pub names: NameSettings,
    /// Take Ingresses that name no class, because they are older than the default class, for the default class's
    #[arg(long, env = "KAKEHI_WATCH_INGRESS_WITHOUT_CLASS")]
    pub watch_ingress_without_class: bool,
    /// Namespace that this process runs in, where its Lease is
    #[arg(long, env = "KAKEHI_NAMESPACE", default_value = "kakehi-system", value_name = "NAME")]
    pub namespace: String,
    /// Watch these namespaces only, and that of this process; may be given several times; default: all. Objects without a
    /// namespace are watched in any case
    #[arg(long, env = "KAKEHI_WATCH_NAMESPACES", value_name = "NAME", value_delimiter = ',')]
    pub watch_namespace: Vec<String>,
    /// Name of the Lease by which one of several replicas leads
    #[arg(long, env = "KAKEHI_LEASE", default_value = "kakehi-controller", value_name = "NAME")]
    pub lease: String,
    /// Name of this replica, part of the Lease holder's name; default: the host's
    #[arg(long, env = "KAKEHI_REPLICA", value_name = "NAME")]
    pub replica: Option<String>,
    /// Address in the status of Gateways that ask for none
    #[arg(long, env = "KAKEHI_ADDRESS", value_name = "IP")]
    pub address: Option<IpAddr>,
    /// Keep a deleted route, ListenerSet or Ingress, by a finalizer, until its edges have withdrawn it (3 s at most). Until then
    /// the API server answers a create under its name with 409
    #[arg(long, env = "KAKEHI_HOLD_ROUTES", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub hold_routes: bool,
    /// Address of the admin port: /healthz /readyz /metrics, and for callers on the same machine or in the same pod
    /// /debug/report /debug/snapshot /debug/plan /debug/endpoints
    #[arg(long, env = "KAKEHI_ADMIN", default_value = "127.0.0.1:9901", value_name = "IP:PORT")]
    pub admin: SocketAddr,
    /// Edges
    #[command(flatten)]
    pub provision: ProvisionSettings,
}

impl ControllerSettings {
    /// The namespaces that are watched, its own among them; none: all.
    pub fn namespaces(&self) -> Namespaces {
        let given = self.watch_namespace.iter().filter(|name| !name.is_empty()).chain([&self.namespace]).cloned().collect();
        self.watch_namespace.iter().any(|name| !name.is_empty()).then(|| Arc::new(given))
    }
}

/// `kakehi withdraw`.
#[derive(Args, Clone, Debug)]
pub struct WithdrawSettings {
    /// Controller name of the operator
    #[arg(long, env = "KAKEHI_CONTROLLER_NAME", default_value = "kakehi.dev/gateway-controller", value_name = "NAME")]
    pub controller_name: String,
    /// Namespace of the operator
    #[arg(long, env = "KAKEHI_NAMESPACE", default_value = "kakehi-system", value_name = "NAME")]
    pub namespace: String,
    /// Name of its Lease, which is taken when its leader has given it back or is dead
    #[arg(long, env = "KAKEHI_LEASE", default_value = "kakehi-controller", value_name = "NAME")]
    pub lease: String,
    /// Its Deployment, to be scaled to nothing first, and to own at the end what the operator made for itself; without it the
    /// operator must be stopped by other means
    #[arg(long, env = "KAKEHI_DEPLOYMENT", value_name = "NAME")]
    pub deployment: Option<String>,
    /// Service that leads edges to the leader
    #[arg(long, env = "KAKEHI_SERVICE", default_value = "kakehi", value_name = "NAME")]
    pub service: String,
    /// Secret with the authority of the snapshot port
    #[arg(long, env = "KAKEHI_CA_SECRET", default_value = "kakehi-ca", value_name = "NAME")]
    pub ca_secret: String,
    /// Longest time for all of it, in seconds
    #[arg(long, env = "KAKEHI_WITHDRAW_LIMIT", default_value_t = 240, value_name = "SECONDS")]
    pub limit: u64,
}

/// `kakehi check`.
#[derive(Args, Clone, Debug)]
pub struct CheckSettings {
    /// Directory of manifests
    #[arg(value_name = "DIR")]
    pub config_dir: PathBuf,
    /// Exit 1 also when there are warnings only
    #[arg(long)]
    pub strict: bool,
    /// How problems are printed
    #[arg(short, long, value_enum, default_value_t = CheckOutput::Text)]
    pub output: CheckOutput,
    /// Defaults, checks and identity
    #[command(flatten)]
    pub directory: DirectorySettings,
}

/// How `kakehi check` prints problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckOutput {
    /// One line each: `FILE:LINE OBJECT FIELD: SEVERITY: MESSAGE`.
    Text,
    /// For programs.
    Json,
    /// For code scanning: SARIF 2.1.0.
    Sarif,
}

/// `kakehi translate`.
#[derive(Args, Clone, Debug)]
pub struct TranslateSettings {
    /// Directory of manifests
    #[arg(value_name = "DIR")]
    pub config_dir: PathBuf,
    /// Defaults, checks and identity
    #[command(flatten)]
    pub directory: DirectorySettings,
}

/// `kakehi trace`.
#[derive(Args, Clone, Debug)]
pub struct TraceSettings {
    /// URL of the request, as a client would write it
    #[arg(value_name = "URL")]
    pub url: String,
    /// Method of the request
    #[arg(short = 'X', long, default_value = "GET", value_name = "METHOD")]
    pub method: String,
    /// Header of the request; may be given several times
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// The client names no host in its TLS handshake (no SNI)
    #[arg(long)]
    pub no_sni: bool,
    /// Only this edge: NAMESPACE/NAME of a Gateway, or IngressClass/NAME; default: every edge that listens on the port
    #[arg(long, value_name = "EDGE")]
    pub edge: Option<EdgeId>,
    /// Directory of manifests to ask, in place of a running instance
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Admin port of the running instance to ask
    #[arg(long, env = "KAKEHI_ADMIN", default_value = "127.0.0.1:9901", value_name = "IP:PORT")]
    pub admin: SocketAddr,
    /// How the answer looks
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Exit with 0 if the request is forwarded or redirected, 4 if the edge answers it with a status below 500, 5 with one from 500
    /// on, 6 if the client gets no answer; of several edges or backends the worst counts
    #[arg(short, long)]
    pub exit_status: bool,
    /// Exit with 3 unless the request meets this on every edge: forwarded, a status that the edge answers with, or none (no answer)
    #[arg(long, value_name = "ANSWER", conflicts_with = "exit_status")]
    pub expect: Option<Expected>,
    /// Defaults, checks and identity, for `--directory`
    #[command(flatten)]
    pub manifests: DirectorySettings,
}

/// How answers look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[cfg(test)]
mod tests {
    use super::{IngressSettings, SamePort, listener_port};
    use crate::cli::command;

    fn refused(flags: &[&str]) -> Option<String> {
        let line = ["kakehi", "controller"].iter().chain(flags);
        command().try_get_matches_from(line).err().map(|error| error.to_string())
    }

    #[test]
    fn ports_that_edges_need_are_no_ports_of_listeners() {
        assert_eq!(refused(&["--ingress-http-port", "8080", "--ingress-https-port", "8443"]), None);
        for (flag, port, why) in [
            ("--ingress-http-port", "19902", "the edge's own, for probes and metrics"),
            ("--ingress-https-port", "19902", "the edge's own, for probes and metrics"),
            ("--ingress-http-port", "0", "not a port"),
        ] {
            let told = refused(&[flag, port]).unwrap();
            assert!(told.contains(flag) && told.contains(port) && told.contains(why), "{told}");
        }
        assert_eq!(listener_port("65535"), Ok(65_535));
        assert!(listener_port("65536").is_err() && listener_port("http").is_err());
    }

    #[test]
    fn one_port_does_not_speak_both() {
        let of = |http, https| IngressSettings {
            ingress_controller_name: "c".into(),
            ingress_http_port: http,
            ingress_https_port: https,
            default_backend: None,
        };
        assert!(of(80, 443).translation(true).is_ok());
        assert_eq!(of(80, 80).translation(true).unwrap_err(), SamePort(80));
    }
}
