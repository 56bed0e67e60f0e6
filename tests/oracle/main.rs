//! The oracle: a naive matcher written from the words of Gateway API judges the translator, the plan on a real Sōzu,
//! and the filter proxy on random routes and requests (law 7: one meaning, two stages).
//!
//! [`calls`] does the same for GRPCRoutes and HTTPRoutes on one host, with the filter's table alone, [`ingress`] for the words of the Ingress documentation on the edge of an IngressClass, [`tls`] for
//! certificates and connections of HTTPS listeners.
//!
//! `KAKEHI_ORACLE_SEED` (default 1) is the seed of the first set, `KAKEHI_ORACLE_SETS` (default 50) the number of sets,
//! `KAKEHI_ORACLE_REQUESTS` (default 100) the number of requests to each. A failure prints the seed of its set: run
//! that seed with one set to see it again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod backend;
mod calls;
mod client;
mod differential;
mod edges;
mod generate;
mod generate_tests;
mod ingress;
mod judge;
mod manifest;
mod naive;
mod naive_tests;
mod native;
mod pipeline;
mod random;
mod requests;
mod router;
mod run;
mod shrink;
mod tls;
#[path = "../tls_client/mod.rs"]
mod tls_client;
mod traps;
mod world;
