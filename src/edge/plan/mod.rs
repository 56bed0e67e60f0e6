//! Snapshot → what Sōzu must hold. Pure.
//!
//! Sōzu decides a request alone ("native") only where that is proven to mean what the snapshot means; everything else
//! goes to the filter proxy ("hop"), which decides the whole request anew. So sending more to the hop than needed is
//! always right, and every hop says its [`Reason`]. A port of which Sōzu cannot even take the connections is relayed: they
//! go to the filter proxy as they are, with their [`RelayReason`].

mod asked;
mod bouncers;
mod certificates;
mod closing;
pub mod explain;
mod few;
mod hosts;
mod index;
mod lookup;
mod mode;
mod native;
mod planned;
mod planner;
mod reason;
mod regions;
mod target;
#[cfg(test)]
mod tests;
mod touched;
mod whole;

pub use asked::USUAL_SILENCE;
pub use bouncers::{Bouncer, Why, bouncers};
pub use lookup::Lookup;
pub use planner::{Options, Planner};
pub use reason::{Reason, RelayReason};
pub use target::{
    Chain, ChainId, ClusterId, Edit, Frontend, HostRule, PathKind, PathRule, PortCertificate, PortId, PortKind, PortLimits, Side, Stage,
    Target, Upstream, VhostId,
};
