//! `kakehi standalone` as a user runs it: real processes, a real Sōzu, real connections.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "plain threads and processes: nothing here is async")]

#[path = "standalone/client.rs"]
mod client;
#[path = "dns/mod.rs"]
mod dns;
#[path = "prometheus/mod.rs"]
mod prometheus;
#[path = "standalone/rig.rs"]
mod rig;
#[path = "tls_client/mod.rs"]
mod tls_client;

#[path = "standalone/access_log.rs"]
mod access_log;
#[path = "standalone/affinity.rs"]
mod affinity;
#[path = "standalone/bad_input.rs"]
mod bad_input;
#[path = "standalone/blind.rs"]
mod blind;
#[path = "standalone/certificates.rs"]
mod certificates;
#[path = "standalone/client_address.rs"]
mod client_address;
#[path = "standalone/command_line.rs"]
mod command_line;
#[path = "standalone/crashes.rs"]
mod crashes;
#[path = "standalone/external_names.rs"]
mod external_names;
#[path = "standalone/first_visit.rs"]
mod first_visit;
#[path = "standalone/ingress.rs"]
mod ingress;
#[path = "standalone/lifecycle.rs"]
mod lifecycle;
#[path = "standalone/logs.rs"]
mod logs;
#[path = "standalone/metrics.rs"]
mod metrics;
#[path = "standalone/mistakes.rs"]
mod mistakes;
#[path = "standalone/ports.rs"]
mod ports;
#[path = "standalone/quickstart.rs"]
mod quickstart;
#[path = "standalone/secrets.rs"]
mod secrets;
#[path = "standalone/traces.rs"]
mod traces;
#[path = "standalone/tuning.rs"]
mod tuning;
#[path = "standalone/twins.rs"]
mod twins;
#[path = "standalone/uncertified.rs"]
mod uncertified;
