//! A line to an API server that can be cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Request;
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::util::MapRequestLayer;

/// Carries the connections of one client.
pub struct Wire {
    whole: watch::Sender<bool>,
    late: Arc<AtomicBool>,
}

impl Wire {
    /// A client whose connections go over a new wire.
    pub async fn new(mut config: Config) -> (Client, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let (host, port) = (config.cluster_url.host().unwrap().to_owned(), config.cluster_url.port_u16().unwrap_or(443));
        let (whole, cut) = watch::channel(true);
        tokio::spawn(carry(listener, format!("{host}:{port}"), cut));
        config.tls_server_name.get_or_insert(host);
        config.cluster_url = format!("https://{here}{}", config.cluster_url.path()).parse().unwrap();
        let late = Arc::new(AtomicBool::new(false));
        let layer = MapRequestLayer::new({
            let late = late.clone();
            move |request| if late.load(Ordering::Relaxed) { forget(request, &late) } else { request }
        });
        (ClientBuilder::try_from(config).unwrap().with_layer(&layer).build(), Self { whole, late })
    }

    /// Ends all connections, and lets none through.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }

    /// The same, but so late that the server has forgotten where the next watch left off, and answers so.
    pub fn mend_too_late(&self) {
        self.late.store(true, Ordering::Relaxed);
        self.mend();
    }
}

async fn carry(listener: TcpListener, to: String, mut whole: watch::Receiver<bool>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let mut far = match TcpStream::connect(&to).await {
            Ok(far) if *whole.borrow_and_update() => far,
            _ => continue,
        };
        let mut whole = whole.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = whole.wait_for(|whole| !whole) => {}
            }
        });
    }
}

/// Asks for what no server remembers, in place of the first watch: the routes there were when there was no Gateway API.
fn forget(mut request: Request<Body>, late: &AtomicBool) -> Request<Body> {
    let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    if is_watch && late.swap(false, Ordering::Relaxed) {
        *request.uri_mut() = "/apis/gateway.networking.k8s.io/v1/httproutes?watch=true&resourceVersion=1".parse().unwrap();
    }
    request
}
