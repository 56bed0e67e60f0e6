//! Kakehi turns Gateway API objects into live configuration of the Sōzu reverse proxy.
//!
//! Objects are on the left (`api`, `store`, `translate`, `report`), proxies on the right (`edge`, `filter`); `model` and
//! `snapshot` stand between and know neither. `tests/architecture.rs` holds the import law.

pub mod access_log;
pub mod api;
pub mod cli;
pub mod controller;
pub mod edge;
pub mod filter;
pub mod leader;
pub mod listen;
pub mod model;
pub mod observe;
pub mod pages;
pub mod process;
pub mod provision;
pub mod report;
pub mod series;
pub mod settings;
pub mod snapshot;
pub mod standalone;
pub mod stop;
pub mod store;
pub mod trace;
pub mod traffic;
pub mod translate;
pub mod trouble;
