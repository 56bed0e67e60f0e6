//! API servers of the tests: one that all of them share, and more for those that change what others rely on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kakehi::store::kinds::{GATEWAY_API, Origin, Row, table};
use kube::api::{Api, DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions::is_crd_established};
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::crds::gateway_api;

/// Starts a server in the folder `$1`, says where its kubeconfig is, and ends it when nobody holds its input any more:
/// however the process of the tests comes to its end.
const HOLD: &str = r#""$0" apiserver up --dir "$1/state" && read -r _; "$0" apiserver down --dir "$1/state"; rmdir "$1""#;

/// A server of our own, which lasts as long as this.
pub struct Server {
    holder: Child,
    kubeconfig: PathBuf,
}

impl Server {
    pub fn start() -> Self {
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/build.sh");
        let built = Command::new(build).arg("apiserver").stderr(Stdio::inherit()).output().unwrap();
        assert!(built.status.success(), "the API server is not built: see above");
        let programs = PathBuf::from(String::from_utf8(built.stdout).unwrap().trim());
        let folder = tempfile::Builder::new().prefix("kakehi-apiserver-").tempdir().unwrap().keep();
        // A group of its own: an interrupt is for the tests, and the holder cleans up after them.
        let mut holder = Command::new("sh")
            .args(["-c", HOLD])
            .args([programs.join("cluster"), folder])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut kubeconfig = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut kubeconfig).unwrap();
        assert!(!kubeconfig.is_empty(), "the API server did not start: see above");
        Self { holder, kubeconfig: PathBuf::from(kubeconfig.trim()) }
    }

    pub async fn config(&self) -> Config {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// Whether a cluster is given, which has other users too.
pub fn is_foreign() -> bool {
    std::env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty())
}

/// The server that all tests share, and the path of its kubeconfig; it serves the Gateway API. Statics are never dropped:
/// ours ends with the process.
static SHARED: OnceCell<(Config, PathBuf, Option<Server>)> = OnceCell::const_new();

/// How to reach it.
pub async fn shared() -> Config {
    let start = async || {
        let server = (!is_foreign()).then(Server::start);
        let (config, kubeconfig) = match &server {
            Some(server) => (server.config().await, server.kubeconfig.clone()),
            None => {
                let config = Config::from_kubeconfig(&KubeConfigOptions::default()).await.unwrap();
                (config, PathBuf::from(std::env::var_os("KUBECONFIG").unwrap_or_default()))
            }
        };
        define(&Client::try_from(config.clone()).unwrap(), &definitions()).await;
        (config, kubeconfig, server)
    };
    SHARED.get_or_init(start).await.0.clone()
}

/// The path of its kubeconfig, for other processes.
pub async fn shared_kubeconfig() -> PathBuf {
    shared().await;
    SHARED.get().unwrap().1.clone()
}

/// The definitions of the kinds that Kakehi reads: the released ones of Gateway API, and our own.
pub fn definitions() -> Vec<Value> {
    let module = gateway_api().expect("Go is needed to fetch the definitions of Gateway API");
    let ours = table().filter(|row| row.origin == Origin::Crd && row.group != GATEWAY_API);
    let file = |row: &Row| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("crds/{}_{}.yaml", row.group, row.plural));
    released(&module, "experimental").into_iter().chain(ours.map(|row| read(&file(row)))).collect()
}

/// The definitions that a release of Gateway API has in a channel, of kinds that Kakehi reads.
pub fn released(module: &Path, channel: &str) -> Vec<Value> {
    let file = |row: &Row| module.join(format!("config/crd/{channel}/{}_{}.yaml", row.group, row.plural));
    table().filter(|row| row.group == GATEWAY_API).map(file).filter(|file| file.exists()).map(|file| read(&file)).collect()
}

fn read(file: &Path) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))).unwrap()
}

/// Creates definitions, and waits until they are served. Those that a foreign cluster has must be of the same release.
pub async fn define(client: &Client, definitions: &[Value]) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions {
        let definition: CustomResourceDefinition = serde_json::from_value(definition.clone()).unwrap();
        let name = definition.name_any();
        match api.create(&PostParams::default(), &definition).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let release = |definition: &CustomResourceDefinition| {
                    ["bundle-version", "channel"]
                        .map(|key| definition.annotations().get(&format!("gateway.networking.k8s.io/{key}")).cloned())
                };
                let there = api.get(&name).await.unwrap();
                assert_eq!(release(&there), release(&definition), "the cluster has another release of {name}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
        await_condition(api.clone(), &name, is_crd_established()).await.unwrap();
    }
}

/// A name that nobody else uses.
pub fn unique(purpose: &str) -> String {
    format!("{purpose}-{:08x}", rand::random::<u32>())
}

/// A new namespace.
pub async fn namespace(client: &Client, purpose: &str) -> String {
    let name = unique(purpose);
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    name
}

/// Deletes a namespace of a cluster that is given. In a server of our own everything goes with the server.
pub async fn discard(client: &Client, namespace: &str) {
    if is_foreign() {
        Api::<Namespace>::all(client.clone()).delete(namespace, &DeleteParams::default()).await.unwrap();
    }
}
