//! Ports that another process holds.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpSocket;

use super::{Error, Item, Sozu, Step};

/// How long the first listener waits until it is known on which ports siblings listen.
const SIBLINGS: Duration = Duration::from_secs(1);
/// What Sōzu says of an address that a process which shares it with none listens on: it ends with the system's error.
const IN_USE: &str = "(os error 98)";
/// The same of a port below 1024.
const NO_RIGHT: &str = "(os error 13)";
/// The same of an address that is on another machine.
const ELSEWHERE: &str = "(os error 99)";

/// Why an address cannot be bound and what to do, of what was said of it.
fn unbound(address: SocketAddr, said: &str) -> String {
    let why = match said {
        _ if said.ends_with(IN_USE) => "another process listens there; end it, or choose another port",
        _ if said.ends_with(NO_RIGHT) => {
            "this user may not bind ports below 1024; choose another port, or grant CAP_NET_BIND_SERVICE to the sozu binary"
        }
        _ if said.ends_with(ELSEWHERE) => "this machine does not have the address; choose one that it has",
        said => said,
    };
    format!("cannot bind {address}: {why}")
}

impl Sozu {
    /// Why a step is refused, of what Sōzu said of it. Sōzu meets a listener of another process itself where a sibling may listen
    /// there too.
    pub(super) fn why(&self, step: &Step, said: &str) -> String {
        match &step.item {
            Item::Bound(port) => unbound(self.shadow.wire().address(*port), said),
            _ => said.to_owned(),
        }
    }

    /// Why a step is refused that would bind an address of another process.
    pub(super) fn why_held(&self, step: &Step) -> String {
        self.why(step, IN_USE)
    }

    /// Before the first listener is bound: waits until siblings have said on which ports they listen. Until then a listener of
    /// another Kakehi could be theirs.
    pub(super) async fn know_siblings(&self, steps: &[Step]) {
        if steps.iter().any(|step| step.adds && matches!(step.item, Item::Bound(_))) {
            self.kin.known(SIBLINGS).await;
        }
    }

    /// Tries again what the world may meanwhile allow: ports that another process held. Whether there was anything to try.
    ///
    /// # Errors
    /// The socket's.
    pub async fn retry(&mut self) -> Result<bool, Error> {
        let unbound: Vec<Item> = self.shadow.refused().keys().filter(|item| matches!(item, Item::Bound(_))).cloned().collect();
        for item in &unbound {
            let Item::Bound(port) = item else { continue };
            let Some(refused) = self.shadow.refused().get(item) else { continue };
            let keys = refused.keys.clone();
            let step = Step { item: item.clone(), request: self.shadow.wire().activate(*port), adds: true, glued: false, keys };
            self.try_one(&step).await?;
        }
        if !unbound.is_empty() {
            self.note_ports();
        }
        Ok(!unbound.is_empty())
    }

    /// Whether a step would bind an address on which another process listens. Sōzu's sockets share addresses with sockets that share
    /// too, so it would not fail but get every other connection.
    pub(super) fn is_held_by_others(&self, step: &Step) -> bool {
        let (Item::Bound(port), true) = (&step.item, step.adds) else { return false };
        // The listener that lets go directly after is our own.
        let mut rivals = self.shadow.applied().bound().filter(|old| old.number == port.number && old != port);
        let replaces = rivals.any(|old| !self.shadow.is_refused(&Item::Bound(old)));
        let address = self.shadow.wire().address(*port);
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        // Connections that are only waiting to be forgotten do not matter.
        let bound = socket.and_then(|socket| socket.set_reuseaddr(true).and_then(|()| socket.bind(address)));
        let taken = bound.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse);
        // A sibling says so before it binds.
        let held = taken && !replaces && !self.kin.is_shared(port.number);
        if !held {
            self.kin.claim(port.number);
        }
        held
    }

    async fn try_one(&mut self, step: &Step) -> Result<(), Error> {
        if self.is_held_by_others(step) {
            return Ok(());
        }
        self.shadow.forgive(&step.item);
        if let Err(reason) = self.shadow.take(step) {
            self.shadow.refuse(step, reason);
            return Ok(());
        }
        self.send(step).await
    }

    /// Tells the siblings on which ports it listens.
    pub(super) fn note_ports(&self) {
        self.kin.listens(self.shadow.bound().map(|port| port.number).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::unbound;

    #[test]
    fn a_port_that_cannot_be_bound_is_told_with_what_to_do() {
        let address = ([127, 0, 0, 1], 80).into();
        for (said, told) in [
            ("could not bind: Address already in use (os error 98)", "another process listens there; end it, or choose another port"),
            (
                "could not bind: Permission denied (os error 13)",
                "this user may not bind ports below 1024; choose another port, or grant CAP_NET_BIND_SERVICE to the sozu binary",
            ),
            ("Cannot assign requested address (os error 99)", "this machine does not have the address; choose one that it has"),
            ("anything else", "anything else"),
        ] {
            assert_eq!(unbound(address, said), format!("cannot bind 127.0.0.1:80: {told}"));
        }
    }
}
