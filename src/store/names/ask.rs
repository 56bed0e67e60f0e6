//! One question to DNS: the addresses of a name, of both families.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::Rcode;
use domain::base::name::FromStrError;
use domain::base::wire::ParseError;
use domain::base::{Message, Name, Rtype};
use domain::rdata::{A, Aaaa};
use domain::resolv::StubResolver;
use domain::resolv::stub::conf::{ResolvConf, ServerConf, Transport};

/// Why DNS gives no addresses.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The name is none.
    #[error("it is no DNS name: {0}")]
    Name(#[from] FromStrError),
    /// There is no answer.
    #[error("no answer: {0}")]
    Silence(#[from] std::io::Error),
    /// The answer is no DNS message.
    #[error("answer: {0}")]
    Garbled(#[from] ParseError),
    /// The server says that it failed.
    #[error("the DNS server answers {0}")]
    Refused(Rcode),
    /// NXDOMAIN.
    #[error("there is no such name")]
    NoName,
    /// It has no addresses of either family.
    #[error("it has no addresses")]
    NoAddresses,
}

impl Failure {
    /// Whether DNS says that the name leads nowhere, as opposed to saying nothing.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::NoName | Self::NoAddresses)
    }
}

/// What DNS answers.
pub(super) struct Answer {
    pub(super) addresses: BTreeSet<IpAddr>,
    /// How long it counts, as the records say.
    pub(super) life: Duration,
}

/// Whoever asks.
#[derive(Clone)]
pub(super) struct Asker(Arc<StubResolver>);

impl Asker {
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        let mut config = if servers.is_empty() { ResolvConf::default() } else { ResolvConf::new() };
        config.servers.extend(servers.iter().map(|server| ServerConf::new(*server, Transport::UdpTcp)));
        Self(Arc::new(StubResolver::from_conf(config)))
    }

    /// Asks for both families; the answer has addresses. A family that fails makes the whole fail, or a server that falters
    /// would take half of the addresses away; one that has no addresses does not.
    pub(super) async fn ask(&self, name: &str) -> Result<Answer, Failure> {
        let name = Name::<Vec<u8>>::from_str(name)?;
        let (v4, v6) = tokio::join!(self.family(&name, Rtype::A), self.family(&name, Rtype::AAAA));
        let (v4, v6) = (v4?, v6?);
        let addresses: BTreeSet<_> = v4.addresses.into_iter().chain(v6.addresses).collect();
        if addresses.is_empty() { Err(Failure::NoAddresses) } else { Ok(Answer { addresses, life: v4.life.min(v6.life) }) }
    }

    async fn family(&self, name: &Name<Vec<u8>>, family: Rtype) -> Result<Answer, Failure> {
        let message = self.0.query((name, family)).await?.into_message();
        match message.header().rcode() {
            Rcode::NOERROR => Ok(read(&message)?),
            Rcode::NXDOMAIN => Err(Failure::NoName),
            code => Err(Failure::Refused(code)),
        }
    }
}

fn read<T: AsRef<[u8]>>(message: &Message<T>) -> Result<Answer, ParseError> {
    let message = Message::from_slice(message.as_slice()).map_err(|_| ParseError::ShortInput)?;
    let mut answer = Answer { addresses: BTreeSet::new(), life: Duration::MAX };
    for record in message.answer()? {
        let record = record?;
        // Aliases on the way count too.
        answer.life = answer.life.min(Duration::from_secs(record.ttl().as_secs().into()));
        if let Some(v4) = record.to_record::<A>()? {
            answer.addresses.insert(v4.data().addr().into());
        }
        if let Some(v6) = record.to_record::<Aaaa>()? {
            answer.addresses.insert(v6.data().addr().into());
        }
    }
    Ok(answer)
}
