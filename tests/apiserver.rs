//! A real API server beside what the store takes it to be: what its watches say, what it refuses and what it fills in.
//!
//! The server is the one of `tests/cluster`, started for these tests, or the cluster that `KUBECONFIG` names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "store/crds.rs"]
mod crds;
#[path = "store/mutate.rs"]
mod mutate;

#[path = "apiserver/claims.rs"]
mod claims;
#[path = "apiserver/daemons.rs"]
mod daemons;
#[path = "apiserver/deletion.rs"]
mod deletion;
#[path = "apiserver/endpoints.rs"]
mod endpoints;
#[path = "apiserver/failover.rs"]
mod failover;
#[path = "apiserver/fresh.rs"]
mod fresh;
#[path = "apiserver/ingress.rs"]
mod ingress;
#[path = "apiserver/judges.rs"]
mod judges;
#[path = "apiserver/lenient.rs"]
mod lenient;
#[path = "apiserver/making.rs"]
mod making;
#[path = "apiserver/metrics.rs"]
mod metrics;
#[path = "apiserver/modes.rs"]
mod modes;
#[path = "apiserver/older.rs"]
mod older;
#[path = "apiserver/operator.rs"]
mod operator;
#[path = "apiserver/pairs.rs"]
mod pairs;
#[path = "prometheus/mod.rs"]
mod prometheus;
#[path = "apiserver/pump.rs"]
mod pump;
#[path = "apiserver/rig.rs"]
mod rig;
#[path = "apiserver/rights.rs"]
mod rights;
#[path = "apiserver/server.rs"]
mod server;
#[path = "apiserver/silence.rs"]
mod silence;
#[path = "apiserver/stream.rs"]
mod stream;
#[path = "apiserver/tenants.rs"]
mod tenants;
#[path = "apiserver/unread.rs"]
mod unread;
#[path = "apiserver/verdicts.rs"]
mod verdicts;
#[path = "apiserver/waits.rs"]
mod waits;
#[path = "apiserver/webhook.rs"]
mod webhook;
#[path = "apiserver/wire.rs"]
mod wire;
#[path = "apiserver/withdraw.rs"]
mod withdraw;
