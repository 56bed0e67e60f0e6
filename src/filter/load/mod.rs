//! What clients make the process hold, and how long: one budget of bytes over all connections and workers, the connections
//! themselves, and the clocks on peers that stand still.
//!
//! Charged are: a flat cost for each connection, what was read of it and not passed on, the heads of its requests, and bodies
//! until they are written, however many hold them. At the budget new requests are answered 503, new connections are closed,
//! and so are those that have stood still longest.

mod addresses;
mod budget;
mod clients;
mod counted;
mod flight;
mod frames;
mod inbound;
mod meter;
mod metered;
mod queue;

pub(super) use addresses::Addresses;
pub(super) use budget::Budget;
pub(super) use clients::Clients;
pub(super) use flight::Flight;
pub(super) use inbound::{Inbound, Measured};
pub(super) use meter::{CONNECTION_WINDOW, Meter, STREAM_WINDOW, Side, TLS_BUFFER};
pub(super) use metered::Metered;
