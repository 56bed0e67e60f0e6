//! Ports that another process holds.

use tokio::net::TcpSocket;

use super::{Error, Item, Sozu, Step};

/// Why a listener is not bound.
pub(super) const HELD: &str = "another process listens on this address and port";

/// What Sōzu says of an address that a process which shares it with none listens on: it ends with the system's error.
const IN_USE: &str = "(os error 98)";

/// Why a step is refused, of what Sōzu said of it. Sōzu meets a listener of another process itself where a sibling may listen there too.
pub(super) fn reason(step: &Step, said: &str) -> String {
    let is_held = matches!(step.item, Item::Bound(_)) && said.ends_with(IN_USE);
    if is_held { HELD } else { said }.to_owned()
}

impl Sozu {
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
