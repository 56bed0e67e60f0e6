//! Why the filter proxy serves a virtual host as a whole, whatever its routes are.

use super::hosts::port_of;
use super::index::{Entries, Index};
use super::target::PortId;
use super::{Options, Reason, certificates};
use crate::model::{Hostname, Listener};

/// Of the entries of a port, for every host.
pub(super) fn of_all(index: &Index, options: &Options, port: PortId, entries: &Entries) -> Option<Reason> {
    if options.force_hop || index.listeners().tuning(port).is_some_and(|tuning| tuning.force_hop) {
        Some(Reason::Forced)
    } else if entries.regex > 0 {
        Some(Reason::PathRegex)
    } else if entries.odd > 0 {
        Some(Reason::PathBytes)
    } else if entries.host_ranks.len() > 1 && !entries.all().into_iter().is_sorted_by(|low, high| low.path <= high.path) {
        Some(Reason::HostSpecificity)
    } else {
        None
    }
}

/// Of the entries of a listener's host, which may be refused as a whole too.
pub(super) fn of_host(index: &Index, options: &Options, (listener, host): (&Listener, &Hostname), entries: &Entries) -> Option<Reason> {
    let lacks = || certificates::lacks(index, listener, host, entries).then_some(Reason::NoCertificate);
    of_all(index, options, port_of(listener), entries).or_else(lacks)
}
