//! A line to an API server that can be cut.

use std::collections::BTreeSet;

use http::Request;
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::util::MapRequestLayer;

/// Carries the connections of one client.
pub struct Wire {
    whole: watch::Sender<bool>,
    /// How often all connections fell silent.
    hushed: watch::Sender<usize>,
    /// When it is late: the kinds whose watch was answered so.
    late: watch::Sender<Option<BTreeSet<String>>>,
}

impl Wire {
    /// A client whose connections go over a new wire.
    pub async fn new(mut config: Config) -> (Client, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let (host, port) = (config.cluster_url.host().unwrap().to_owned(), config.cluster_url.port_u16().unwrap_or(443));
        let ((whole, cut), (hushed, hush)) = (watch::channel(true), watch::channel(0));
        tokio::spawn(carry(listener, format!("{host}:{port}"), cut, hush));
        config.tls_server_name.get_or_insert(host);
        config.cluster_url = format!("https://{here}{}", config.cluster_url.path()).parse().unwrap();
        let late = watch::Sender::new(None);
        let told = late.clone();
        let layer = MapRequestLayer::new(move |request| forget(request, &told));
        (ClientBuilder::try_from(config).unwrap().with_layer(&layer).build(), Self { whole, hushed, late })
    }

    /// Ends all connections, and lets none through.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Carries nothing any more on the connections that there are, and leaves them open.
    pub fn hush(&self) {
        self.hushed.send_modify(|times| *times += 1);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }

    /// The same, but so late that the server has forgotten where the next watch left off, and answers so.
    pub fn mend_too_late(&self) {
        self.late.send_replace(Some(BTreeSet::new()));
        self.mend();
    }
}

async fn carry(listener: TcpListener, to: String, mut whole: watch::Receiver<bool>, mut hushed: watch::Receiver<usize>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let mut far = match TcpStream::connect(&to).await {
            Ok(far) if *whole.borrow_and_update() => far,
            _ => continue,
        };
        hushed.mark_unchanged();
        let (mut whole, mut hushed) = (whole.clone(), hushed.clone());
        tokio::spawn(async move {
            let carried = async {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    Ok(()) = hushed.changed() => std::future::pending().await,
                }
            };
            tokio::select! {
                () = carried => {}
                _ = whole.wait_for(|whole| !whole) => {}
            }
        });
    }
}

/// Asks for what no server remembers, in place of the first watch of each kind when it is late: the routes there were when
/// there was no Gateway API.
fn forget(mut request: Request<Body>, late: &watch::Sender<Option<BTreeSet<String>>>) -> Request<Body> {
    let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    let path = request.uri().path().to_owned();
    if is_watch && late.send_if_modified(|told| told.as_mut().is_some_and(|told| told.insert(path))) {
        *request.uri_mut() = "/apis/gateway.networking.k8s.io/v1/httproutes?watch=true&resourceVersion=1".parse().unwrap();
    }
    request
}
