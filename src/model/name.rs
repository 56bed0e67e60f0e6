//! Names outside the cluster, as DNS has them.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// What DNS says of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Its addresses; while it does not resolve, those that it had last.
    pub addresses: BTreeSet<IpAddr>,
    /// Why it does not resolve now.
    pub failure: Option<String>,
}
