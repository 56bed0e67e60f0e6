//! How many connections each client address has, over all workers.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arc_swap::ArcSwap;
use imbl::HashMap;

use crate::model::ClientNetwork;

/// Of an address without connections, that is about to be forgotten.
const GONE: u32 = u32::MAX;

/// Connections by address.
#[derive(Debug, Default)]
pub(in crate::filter) struct Addresses(ArcSwap<HashMap<ClientNetwork, Arc<AtomicU32>>>);

/// One connection of an address.
#[derive(Debug)]
pub(super) struct Counted {
    all: Arc<Addresses>,
    client: ClientNetwork,
    of_address: Arc<AtomicU32>,
}

impl Addresses {
    /// Counts a connection, unless its address has `most` already.
    pub(super) fn take(self: &Arc<Self>, ip: IpAddr, most: usize) -> Option<Counted> {
        let (client, most) = (ClientNetwork::from(ip), u32::try_from(most).unwrap_or(GONE - 1).min(GONE - 1));
        loop {
            let known = self.0.load().get(&client).cloned();
            let of_address = known.unwrap_or_else(|| self.add(client));
            let more = |count: u32| (count < most).then(|| count + 1);
            match of_address.fetch_update(Relaxed, Relaxed, more) {
                Ok(_) => return Some(Counted { all: self.clone(), client, of_address }),
                // It was forgotten meanwhile.
                Err(GONE) => {}
                Err(_) => return None,
            }
        }
    }

    fn add(&self, client: ClientNetwork) -> Arc<AtomicU32> {
        let fresh = Arc::new(AtomicU32::new(0));
        let added = self.0.rcu(|all| {
            let known = all.get(&client).is_some_and(|known| known.load(Relaxed) != GONE);
            if known { HashMap::clone(all) } else { all.update(client, fresh.clone()) }
        });
        // What `rcu` returns is the map before.
        added.get(&client).filter(|known| known.load(Relaxed) != GONE).cloned().unwrap_or(fresh)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let last = self.of_address.fetch_sub(1, Relaxed) == 1;
        if last && self.of_address.compare_exchange(0, GONE, Relaxed, Relaxed).is_ok() {
            self.all.0.rcu(|all| match all.get(&self.client) {
                Some(known) if Arc::ptr_eq(known, &self.of_address) => all.without(&self.client),
                _ => HashMap::clone(all),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Addresses;

    #[test]
    fn an_address_has_so_many_and_others_have_theirs() {
        let all = Arc::new(Addresses::default());
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let two: Vec<_> = (0..2).map(|_| all.take(a, 2).unwrap()).collect();
        assert!(all.take(a, 2).is_none() && all.take(b, 2).is_some());
        drop(two);
        assert!(all.0.load().is_empty(), "those without connections are forgotten");
        assert!(all.take(a, 2).is_some());
        let [x, y, z] = ["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        let _held = all.take(x, 1).unwrap();
        assert!(all.take(y, 1).is_none() && all.take(z, 1).is_some());
        // Sōzu names clients of IPv4 so on a port that serves both families.
        let [m, n] = ["::ffff:192.0.2.8", "::ffff:192.0.2.9"].map(|text| text.parse().unwrap());
        let _mapped = all.take(m, 1).unwrap();
        assert!(all.take("192.0.2.8".parse().unwrap(), 1).is_none() && all.take(n, 1).is_some());
    }

    #[test]
    fn threads_count_together() {
        let all = Arc::new(Addresses::default());
        let ip = "192.0.2.1".parse().unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let all = all.clone();
                std::thread::spawn(move || (0..5000).for_each(|_| drop(all.take(ip, 3))))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let three: Vec<_> = (0..3).map(|_| all.take(ip, 3).unwrap()).collect();
        assert!(all.take(ip, 3).is_none());
        drop(three);
        assert!(all.0.load().is_empty());
    }
}
