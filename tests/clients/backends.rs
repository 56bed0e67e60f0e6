//! Backends that the quickstart does not have, and the manifests that lead to them.

use std::net::SocketAddr;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};

/// A Service with one endpoint here.
pub fn service(name: &str, at: SocketAddr, protocol: Option<&str>) -> String {
    let port = at.port();
    let protocol = protocol.map(|protocol| format!(", appProtocol: {protocol}")).unwrap_or_default();
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: demo}}
spec: {{ports: [{{port: 80, targetPort: {port}{protocol}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, namespace: demo, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{port: {port}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
"
    )
}

/// A route of this kind, for the hosts of the quickstart's two listeners, with these rules in one line.
pub fn route_of(kind: &str, name: &str, rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: demo}}
spec:
  parentRefs: [{{name: web, sectionName: http}}, {{name: web, sectionName: https-one}}]
  hostnames: [demo.localhost, one.localhost]
  rules: [{rules}]
"
    )
}

/// A route that sends what lies under a path of both listeners' hosts to a Service.
pub fn route(path: &str, name: &str) -> String {
    let rule = format!("{{matches: [{{path: {{type: PathPrefix, value: {path}}}}}], backendRefs: [{{name: {name}, port: 80}}]}}");
    route_of("HTTPRoute", name, &rule)
}

/// A Service under a path of its own name.
pub fn routed(name: &str, at: SocketAddr, protocol: Option<&str>) -> String {
    format!("{}---\n{}", service(name, at, protocol), route(&format!("/{name}"), name))
}

/// Has a backend answer each connection, at an address of its own.
pub async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap_or_default();
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Reads a message head, or what comes before the end; in lower case.
pub async fn head(stream: &mut (impl AsyncRead + Unpin + ?Sized)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&text).to_lowercase()
}

/// How hyper serves both versions of HTTP, tunnels over HTTP/2 included.
pub async fn serve_http<S, B>(stream: TcpStream, service: S)
where
    S: hyper::service::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>, Error = std::convert::Infallible>
        + Send
        + 'static,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().enable_connect_protocol();
    // How a client ends its connection is its own business.
    let _ended = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}
