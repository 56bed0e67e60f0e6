//! A DNS server that says what a test tells it.

#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::disallowed_types, reason = "a plain thread: nothing here is async")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Rtype};
use domain::rdata::{A, Aaaa};

/// Per name: addresses with their life in seconds, or none when it fails.
type Zone = BTreeMap<String, Option<(Vec<IpAddr>, u32)>>;

pub struct Server {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    /// Starts one that knows no name.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = Self { address: socket.local_addr().unwrap(), zone: Arc::default(), asked: Arc::default() };
        let (zone, asked) = (server.zone.clone(), server.asked.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let question = Message::from_slice(&buffer[..length]).unwrap();
                let answer = answer(question, &zone.lock().unwrap(), &asked);
                socket.send_to(&answer, client).unwrap();
            }
        });
        server
    }

    pub fn says(&self, name: &str, addresses: &[&str], life: u32) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self.zone.lock().unwrap().insert(name.to_owned(), Some((addresses, life)));
    }

    /// Answers NXDOMAIN for a name.
    pub fn forgets(&self, name: &str) {
        self.zone.lock().unwrap().remove(name);
    }

    /// Answers that a name has no addresses.
    pub fn empties(&self, name: &str) {
        self.says(name, &[], 0);
    }

    /// Answers SERVFAIL for a name.
    pub fn fails(&self, name: &str) {
        self.zone.lock().unwrap().insert(name.to_owned(), None);
    }

    /// How often it was asked for IPv4 addresses.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn answer(message: &Message<[u8]>, zone: &Zone, asked: &AtomicUsize) -> Vec<u8> {
    let question = message.sole_question().unwrap();
    let (name, family) = (question.qname(), question.qtype());
    if family == Rtype::A {
        asked.fetch_add(1, Ordering::Relaxed);
    }
    let found = zone.get(&name.to_string());
    let code = match found {
        None => Rcode::NXDOMAIN,
        Some(None) => Rcode::SERVFAIL,
        Some(Some(_)) => Rcode::NOERROR,
    };
    let mut answer = MessageBuilder::new_vec().start_answer(message, code).unwrap();
    if let Some(Some((addresses, life))) = found {
        for address in addresses {
            match (address, family) {
                (IpAddr::V4(ip), Rtype::A) => answer.push((name, *life, A::new(*ip))).unwrap(),
                (IpAddr::V6(ip), Rtype::AAAA) => answer.push((name, *life, Aaaa::new(*ip))).unwrap(),
                _ => {}
            }
        }
    }
    answer.finish()
}
