//! The peers' configurations: what each needs to do the same work, no access logs.

use super::manifests::NATIVE;
use super::peers::{Backends, Front};

/// nginx as the backend. Its second port speaks HTTP/2 and answers as a gRPC service does.
pub fn backend(front: Front<'_>) -> String {
    let (body, directory) = ("x".repeat(64), front.directory.display());
    let servers = format!(
        "server {{ listen {address}; listen 127.0.0.2:{port}; root {directory};\n\
           location / {{ return 200 {body}; }}\n  location = /large {{ sendfile on; }} }}\n\
         server {{ listen {grpc} http2; listen 127.0.0.2:{grpc_port} http2; default_type application/grpc;\n\
           add_trailer grpc-status 0; location / {{ return 200 {body}; }} }}",
        address = front.address,
        port = front.address.port(),
        grpc = front.tls,
        grpc_port = front.tls.port(),
    );
    one_nginx(front, &servers)
}

/// nginx as a proxy.
pub fn nginx(front: Front<'_>, backends: Backends) -> String {
    let upstream = format!("upstream backend {{ server {}; keepalive 128; keepalive_requests 100000000; }}", backends.plain);
    let headers = "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;";
    let location = format!("location / {{ {headers} proxy_pass http://backend; }}");
    one_nginx(front, &format!("{upstream}\nserver {{ listen {}; server_name {NATIVE}; {location} }}", front.address))
}

/// One process: no master, one worker.
fn one_nginx(front: Front<'_>, http: &str) -> String {
    let directory = front.directory.display();
    let places: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].iter().map(|kind| format!("{kind}_temp_path {directory}/{kind};\n")).collect();
    format!(
        "daemon off; master_process off; worker_processes 1; pid {directory}/pid; error_log stderr warn;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 100000000; tcp_nodelay on;\n{places}{http}\n}}\n"
    )
}

/// haproxy with one thread.
pub fn haproxy(front: Front<'_>, backends: Backends) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 4096\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  http-reuse always\n  option forwardfor\n\
         frontend front\n  bind {}\n  use_backend back if {{ hdr(host) -i {NATIVE} }}\n\
         backend back\n  server one {}\n",
        front.address, backends.plain
    )
}

/// Sōzu with one worker, as its own users run it.
pub fn sozu(front: Front<'_>, backends: Backends) -> String {
    let (address, tls, directory) = (front.address, front.tls, front.directory.display());
    let cluster = |name: &str, path: &str, backend| {
        let plain = format!("{{ address = \"{address}\", hostname = \"{NATIVE}\", path = \"{path}\", path_type = \"PREFIX\" }}");
        let certificate =
            format!("certificate = \"{directory}/tls.crt\", key = \"{directory}/tls.key\", certificate_chain = \"{directory}/tls.crt\"");
        let secure =
            format!("{{ address = \"{tls}\", hostname = \"{NATIVE}\", path = \"{path}\", path_type = \"PREFIX\", {certificate} }}");
        format!("[clusters.{name}]\nprotocol = \"http\"\nfrontends = [{plain}, {secure}]\nbackends = [{{ address = \"{backend}\" }}]\n")
    };
    format!(
        "command_socket = \"{directory}/command.sock\"\nworker_count = 1\nactivate_listeners = true\nhandle_process_affinity = false\n\
         max_connections = 2000\nlog_level = \"error\"\nlog_target = \"stdout\"\n\
         [[listeners]]\nprotocol = \"http\"\naddress = \"{address}\"\n\
         [[listeners]]\nprotocol = \"https\"\naddress = \"{tls}\"\n{}{}",
        cluster("plain", "/", backends.plain),
        cluster("upload", "/upload", backends.upload)
    )
}

/// Envoy: plaintext HTTP/1.1 and HTTP/2 on one port, both over TLS on the other.
pub fn envoy(front: Front<'_>, backends: Backends) -> String {
    let listener = |port: u16, tls: &str| {
        format!(
            r#"    - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: front
                use_remote_address: true
                route_config:
                  virtual_hosts:
                    - name: native
                      domains: [{NATIVE}]
                      routes:
                        - {{ match: {{ prefix: /upload }}, route: {{ cluster: upload }} }}
                        - {{ match: {{ prefix: / }}, route: {{ cluster: plain }} }}
                    - {{ name: grpc, domains: [grpc.bench.test], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: grpc }} }}] }}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
{tls}"#
        )
    };
    let directory = front.directory.display();
    let tls = format!(
        r#"          transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                alpn_protocols: [h2, http/1.1]
                tls_certificates: [{{ certificate_chain: {{ filename: {directory}/tls.crt }}, private_key: {{ filename: {directory}/tls.key }} }}]
"#
    );
    let cluster = |name: &str, backend: std::net::SocketAddr, more: &str| {
        format!(
            r"    - name: {name}
      type: STATIC
      connect_timeout: 5s
      load_assignment:
        cluster_name: {name}
        endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }} }}] }}]
{more}",
            backend.port()
        )
    };
    let http2 = r#"      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: { http2_protocol_options: {} }
"#;
    let listeners = listener(front.address.port(), "") + &listener(front.tls.port(), &tls);
    let clusters = cluster("plain", backends.plain, "") + &cluster("upload", backends.upload, "") + &cluster("grpc", backends.grpc, http2);
    format!("static_resources:\n  listeners:\n{listeners}  clusters:\n{clusters}")
}
