//! What operators see of Kakehi itself: logs, metrics, health and debug pages.

pub mod admin;
mod local;
pub mod log;
pub mod metrics;
