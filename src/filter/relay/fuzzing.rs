//! What the fuzz target `proxy` calls: both readers of the PROXY protocol, on bytes that come in two parts.

use std::net::{IpAddr, SocketAddr};

use futures::FutureExt;
use tokio::io::AsyncReadExt;

use super::proxy;

/// The client and the server that Sōzu's header names, and how many bytes are left; none when it is no such header.
pub fn sozu(first: &[u8], mut then: &[u8]) -> Option<(SocketAddr, SocketAddr, usize)> {
    let mut first = first;
    let ends = proxy::read(&mut (&mut first).chain(&mut then)).now_or_never()?.ok()?;
    Some((ends.client, ends.server, first.len() + then.len()))
}

/// The client that a load balancer's header names, and how many bytes are left; none when it is no such header.
pub fn load_balancer(first: &[u8], mut then: &[u8]) -> Option<(Option<IpAddr>, usize)> {
    let mut first = first;
    let client = proxy::read_client(&mut (&mut first).chain(&mut then)).now_or_never()?.ok()?;
    Some((client, first.len() + then.len()))
}
