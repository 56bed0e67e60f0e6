//! gRPC: every kind of call, statuses and metadata, by GRPCRoute and by HTTPRoute.

use std::convert::Infallible;
use std::net::SocketAddr;

use futures::channel::mpsc;
use futures::{SinkExt, StreamExt, stream};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tonic::client::{Grpc, GrpcService};
use tonic::codec::Streaming;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status, body::Body, server};
use tonic_prost::ProstCodec;

use crate::backends::{listen, route, route_of, serve_http, service};
use crate::rig::{Rig, free_port};
use crate::stage::{Duplex, Stage, connect, connect_to, host};

/// The one message of this service.
#[derive(Clone, PartialEq, prost::Message)]
struct Note {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(uint32, tag = "2")]
    number: u32,
}

fn note(text: &str, number: u32) -> Note {
    Note { text: text.to_owned(), number }
}

type Notes = Streaming<Note>;
type Said = stream::BoxStream<'static, Result<Note, Status>>;

/// Says what it was told, with the metadata.
async fn unary(request: Request<Note>) -> Result<Response<Note>, Status> {
    let tenant = request.metadata().get("x-tenant").cloned();
    let bytes = request.metadata().get_bin("x-bytes-bin").map(|value| value.to_bytes().unwrap());
    if request.get_ref().text == "fail" {
        let mut status = Status::failed_precondition("nö: 100 %");
        status.metadata_mut().insert("x-why", MetadataValue::from_static("because"));
        return Err(status);
    }
    let mut response = Response::new(request.into_inner());
    response.metadata_mut().insert("x-tenant", tenant.unwrap_or(MetadataValue::from_static("none")));
    if let Some(bytes) = bytes {
        response.metadata_mut().insert_bin("x-bytes-bin", MetadataValue::from_bytes(&bytes));
    }
    Ok(response)
}

/// Counts up to the number, and fails after that if told so.
async fn count(request: Request<Note>) -> Result<Response<Said>, Status> {
    let Note { text, number } = request.into_inner();
    let end = (text == "fail").then(|| Err(Status::data_loss("midway")));
    let counted = stream::iter((0..number).map(move |at| Ok(note(&text, at))));
    Ok(Response::new(counted.chain(stream::iter(end)).boxed()))
}

/// The sum of all.
async fn sum(request: Request<Notes>) -> Result<Response<Note>, Status> {
    let mut notes = request.into_inner();
    let mut sum = 0;
    while let Some(note) = notes.message().await? {
        sum += note.number;
    }
    Ok(Response::new(note("sum", sum)))
}

/// Answers each message as it comes.
async fn talk(request: Request<Notes>) -> Result<Response<Said>, Status> {
    let answered = request.into_inner().map(|said| said.map(|said| note(&said.text, said.number * 2)));
    Ok(Response::new(answered.boxed()))
}

async fn call(request: http::Request<Incoming>) -> Result<http::Response<Body>, Infallible> {
    let mut grpc = server::Grpc::new(ProstCodec::<Note, Note>::default());
    Ok(match request.uri().path() {
        "/shop.Cart/Unary" => grpc.unary(tower::service_fn(unary), request).await,
        "/shop.Cart/Count" => grpc.server_streaming(tower::service_fn(count), request).await,
        "/shop.Cart/Sum" => grpc.client_streaming(tower::service_fn(sum), request).await,
        "/shop.Cart/Talk" => grpc.streaming(tower::service_fn(talk), request).await,
        other => Status::unimplemented(other).into_http(),
    })
}

async fn shop() -> SocketAddr {
    listen(|stream| serve_http(stream, service_fn(call))).await
}

trait Calls: GrpcService<Body, ResponseBody = Incoming, Error = hyper::Error> + Clone {}
impl<C: GrpcService<Body, ResponseBody = Incoming, Error = hyper::Error> + Clone> Calls for C {}

async fn client(rig: &Rig, secure: bool) -> Grpc<impl Calls> {
    client_by(connect(rig, secure, &["h2"]).await, secure).await
}

async fn client_by(stream: Box<dyn Duplex>, secure: bool) -> Grpc<impl Calls> {
    let stream = TokioIo::new(stream);
    let (sender, connection) = http2::handshake::<_, _, Body>(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let transport = tower::service_fn(move |request| {
        let mut sender = sender.clone();
        async move { sender.send_request(request).await }
    });
    let scheme = if secure { "https" } else { "http" };
    Grpc::with_origin(transport, format!("{scheme}://{}", host(secure)).parse().unwrap())
}

macro_rules! ask {
    ($client:expr, $kind:ident, $method:literal, $message:expr) => {{
        let mut client = $client.clone();
        client.ready().await.unwrap();
        client.$kind(Request::new($message), http::uri::PathAndQuery::from_static($method), ProstCodec::<Note, Note>::default()).await
    }};
}

/// Every kind of call.
async fn calls(client: &Grpc<impl Calls>) {
    let mut asked = Request::new(note("hello", 7));
    asked.metadata_mut().insert("x-tenant", MetadataValue::from_static("a"));
    asked.metadata_mut().insert_bin("x-bytes-bin", MetadataValue::from_bytes(b"\0\xff\n"));
    let mut own = client.clone();
    own.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/shop.Cart/Unary");
    let answer = own.unary(asked, path, ProstCodec::<Note, Note>::default()).await.unwrap();
    assert_eq!(answer.get_ref(), &note("hello", 7));
    assert_eq!(answer.metadata().get("x-tenant").unwrap(), "a");
    assert_eq!(answer.metadata().get_bin("x-bytes-bin").unwrap().to_bytes().unwrap().as_ref(), b"\0\xff\n");

    let large = note(&"x".repeat(1 << 20), 1);
    assert_eq!(ask!(client, unary, "/shop.Cart/Unary", large.clone()).unwrap().into_inner(), large);

    let failed = ask!(client, unary, "/shop.Cart/Unary", note("fail", 0)).unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::FailedPrecondition, "nö: 100 %"));
    assert_eq!(failed.metadata().get("x-why").unwrap(), "because");

    let counted = ask!(client, server_streaming, "/shop.Cart/Count", note("n", 500)).unwrap().into_inner();
    let counted: Vec<_> = counted.map(|said| said.unwrap().number).collect().await;
    assert_eq!(counted, (0..500).collect::<Vec<_>>());
    let mut midway = ask!(client, server_streaming, "/shop.Cart/Count", note("fail", 2)).unwrap().into_inner();
    assert_eq!(midway.next().await.unwrap().unwrap().number, 0);
    assert_eq!(midway.next().await.unwrap().unwrap().number, 1);
    assert_eq!(midway.next().await.unwrap().unwrap_err().code(), Code::DataLoss);

    let sum = ask!(client, client_streaming, "/shop.Cart/Sum", stream::iter((0..500).map(|at| note("", at)))).unwrap();
    assert_eq!(sum.into_inner(), note("sum", 499 * 250));
    talks(client).await;
}

/// A conversation in which each side waits for the other.
async fn talks(client: &Grpc<impl Calls>) {
    let (mut say, said) = mpsc::channel(1);
    say.send(note("0", 0)).await.unwrap();
    let mut heard = ask!(client, streaming, "/shop.Cart/Talk", said).unwrap().into_inner();
    for turn in 0..50 {
        assert_eq!(heard.next().await.unwrap().unwrap(), note(&turn.to_string(), turn * 2));
        say.send(note(&(turn + 1).to_string(), turn + 1)).await.unwrap();
    }
    assert_eq!(heard.next().await.unwrap().unwrap().number, 100);
    drop(say);
    assert!(heard.next().await.is_none());
}

fn routes() -> String {
    let rule = |service: &str, backend: &str| {
        format!("{{matches: [{{method: {{service: shop.{service}}}}}], backendRefs: [{{name: {backend}, port: 80}}]}}")
    };
    let rules = [rule("Cart", "shop"), rule("Empty", "late"), rule("Missing", "nobody")];
    route_of("GRPCRoute", "calls", &rules.join(", "))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_call_passes_with_and_without_tls() {
    let rig = Stage::Native.begin(&[service("shop", shop().await, None), routes()]);
    // The quickstart's own routes take every path.
    rig.remove("routes.yaml");
    rig.eventually("they are gone", || rig.get("/", &[]).status == 404);
    for secure in [false, true] {
        let client = client(&rig, secure).await;
        calls(&client).await;
        // What Kakehi answers itself it says in gRPC's words.
        for (method, code) in [
            ("/shop.Other/Unary", Code::Unimplemented),
            ("/shop.Empty/Unary", Code::Unavailable),
            ("/shop.Missing/Unary", Code::Unavailable),
        ] {
            let path = http::uri::PathAndQuery::from_static(method);
            let mut own = client.clone();
            own.ready().await.unwrap();
            let failed = own.unary(Request::new(note("", 0)), path, ProstCodec::<Note, Note>::default()).await.unwrap_err();
            assert_eq!(failed.code(), code, "{method}: {failed:?}");
            // tonic makes a code of an HTTP status too: this one came as a code.
            assert!(failed.metadata().get("content-type").is_none_or(|kind| kind == "application/grpc"), "{failed:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_turns_with_the_first_grpcroute_and_back_with_the_last() {
    let rig = Stage::Native.begin(&[service("shop", shop().await, None)]);
    let relays = || rig.admin("/debug/plan").body.matches("\": \"GRPCRoute\"").count();
    let page = async || {
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(connect(&rig, true, &["h2"]).await)).await.unwrap();
        tokio::spawn(connection);
        let asked = http::Request::get("https://one.localhost/").body(Body::empty()).unwrap();
        sender.send_request(asked).await.unwrap().status().as_u16()
    };
    let settled = || {
        let metrics = rig.admin("/metrics").body;
        let of = |name| metrics.lines().find(|line| line.starts_with(name)).and_then(|line| line.rsplit(' ').next());
        of("kakehi_snapshot_seq{") == of("kakehi_acked_seq{")
    };
    assert_eq!((relays(), page().await), (0, 200));
    rig.write("calls.yaml", &routes());
    rig.eventually("both ports are relayed", || relays() == 2 && settled());
    assert_eq!(page().await, 200);
    for secure in [false, true] {
        talks(&client(&rig, secure).await).await;
    }
    rig.remove("calls.yaml");
    rig.eventually("no port is relayed", || relays() == 0 && settled());
    assert_eq!(page().await, 200);
}

/// A backend of HTTP/2 is called by HTTPRoute too, whatever else the port has to do.
#[tokio::test(flavor = "multi_thread")]
async fn calls_by_httproute() {
    let manifests = [service("shop", shop().await, Some("kubernetes.io/h2c")), route("/shop.Cart", "shop")];
    for stage in Stage::ALL {
        let rig = stage.begin(&manifests);
        for secure in [false, true] {
            calls(&client(&rig, secure).await).await;
        }
    }
}

const INGRESS: &str = "apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: kakehi}
spec: {controller: kakehi.dev/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: demo}
spec:
  ingressClassName: kakehi
  tls: [{hosts: [one.localhost], secretName: one}]
  rules:
    - host: one.localhost
      http: {paths: [{path: /shop.Cart, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}
";

#[tokio::test(flavor = "multi_thread")]
async fn calls_by_ingress_with_tls() {
    let (http, https) = (free_port(), free_port());
    let (plain, secure) = (http.to_string(), https.to_string());
    let manifests = [service("shop", shop().await, Some("kubernetes.io/h2c")), INGRESS.to_owned()].join("---\n");
    let rig = Rig::start(&["--ingress-http-port", &plain, "--ingress-https-port", &secure], |config, _| {
        std::fs::write(config.join("more.yaml"), manifests).unwrap();
    });
    let address = ([127, 0, 0, 1], https).into();
    rig.eventually("the class's edge listens", || std::net::TcpStream::connect(address).is_ok());
    calls(&client_by(connect_to(&rig, address, true, &["h2"]).await, true).await).await;
}
