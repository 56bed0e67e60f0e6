//! The filter proxy: serves, behind Sōzu, what Sōzu cannot say.

pub mod filters;
pub mod router;
