//! A browser: a page that does what pages do, over the plain and the TLS port.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::backends::{listen, routed, serve_http};
use crate::client;
use crate::programs::lacks;
use crate::rig::Rig;
use crate::stage::{PLAIN, SECURE, Stage, host};
use crate::tools::url;

/// How long a page may take to be done, the start of the browser included.
const PATIENCE: Duration = Duration::from_secs(60);

/// What pages may ask another origin for. The ports become those of the rig.
const ACROSS: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: across, namespace: demo}
spec:
  parentRefs: [{name: web}]
  hostnames: [two.localhost]
  rules:
    - matches: [{path: {type: PathPrefix, value: /across}}]
      filters:
        - type: CORS
          cors:
            allowOrigins: [\"http://demo.localhost:8080\", \"https://one.localhost:8443\"]
            allowMethods: [PUT]
            allowHeaders: [x-custom, x-echo-set-header]
            exposeHeaders: [x-shown]
            allowCredentials: true
      backendRefs: [{name: blue, port: 80}]
";

/// The server of the page, which sends reports on.
async fn answer(request: Request<Incoming>, reports: mpsc::UnboundedSender<Value>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let answer = Response::builder();
    let (answer, text) = match head.uri.path() {
        "/page" => (
            answer
                .header("content-type", "text/html")
                .header("set-cookie", "session=abc; Path=/; HttpOnly")
                .header("set-cookie", "csrf=xyz; Path=/"),
            Bytes::from_static(include_bytes!("programs/page.html")),
        ),
        "/page/cookies" => {
            let cookies: Vec<&[u8]> = head.headers.get_all("cookie").iter().map(|line| line.as_bytes()).collect();
            (answer, cookies.join(&b" | "[..]).into())
        }
        "/page/upload" => (answer, body.len().to_string().into()),
        "/page/download" => {
            let bytes: Vec<u8> = (0..5 << 20).map(|at| u8::try_from(at % 251).unwrap()).collect();
            (answer.header("content-disposition", "attachment; filename=\"five.bin\""), bytes.into())
        }
        "/page/report" => {
            reports.send(serde_json::from_slice(&body).unwrap()).unwrap();
            (answer, Bytes::new())
        }
        _ => (answer.status(404), Bytes::new()),
    };
    Ok(answer.body(Full::new(text)).unwrap())
}

async fn pages() -> (SocketAddr, mpsc::UnboundedReceiver<Value>) {
    let (sender, reports) = mpsc::unbounded_channel();
    let serve = move |stream| {
        let sender = sender.clone();
        serve_http(stream, service_fn(move |request| answer(request, sender.clone())))
    };
    (listen(serve).await, reports)
}

/// A running browser.
struct Browser(Child);

impl Browser {
    /// Opens a page; nothing where there is no browser and that is allowed.
    fn open(page: &str, profile: &std::path::Path) -> Option<Self> {
        let browser = std::env::var("CHROMIUM").ok().filter(|path| !path.is_empty());
        let browser = browser.unwrap_or_else(|| "chromium-headless-shell".to_owned());
        // `timeout` ends it with all its processes, also when this one cannot.
        let mut command = Command::new("timeout");
        command.args(["120", &browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]);
        // The authority of the certificates is ours, and other tests ask whether it vouches for them.
        command.args(["--ignore-certificate-errors", "--no-proxy-server", "--host-resolver-rules=MAP * 127.0.0.1"]);
        command.arg(format!("--user-data-dir={}", profile.display())).args(["--remote-debugging-port=0", page]);
        if let Err(error) = Command::new(&browser).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status() {
            return lacks(&browser, &error);
        }
        Some(Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// The address of the page that asks another origin of the same port.
fn page(rig: &Rig, secure: bool) -> String {
    let across = url(rig, secure, "/across").replace(host(secure), "two.localhost");
    format!("{}?across={across}", url(rig, secure, "/page"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_chromium_does_all_that_pages_do() {
    let (at, mut reports) = pages().await;
    for stage in Stage::ALL {
        let rig = stage.start(&[routed("page", at, None)]);
        rig.write("across.yaml", ACROSS);
        rig.eventually("another origin", || {
            client::get(rig.http(), "two.localhost", "/across", &[]).is_ok_and(|answer| answer.status == 200)
        });
        let profile = tempfile::tempdir().unwrap();
        let both = format!("{}&next={}", page(&rig, false), page(&rig, true));
        let Some(_browser) = Browser::open(&both, profile.path()) else { return };
        for host in [PLAIN, SECURE] {
            let report =
                timeout(PATIENCE, reports.recv()).await.unwrap_or_else(|_| panic!("{stage:?}: no report of {host}\n{}", rig.log()));
            let expected = json!({
                "cookies": "session=abc; csrf=xyz; written=here",
                "upload": (3 << 20).to_string(),
                "form": "sent",
                "download": format!("{} true", 5 << 20),
                "socket": "echo",
                "across": "PUT 4 seen",
                "forbidden": "TypeError",
            });
            assert_eq!(report.unwrap(), expected, "{stage:?} {host}");
        }
    }
}
