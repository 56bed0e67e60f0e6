//! What makes a message safe to pass on: pure functions on `http` types, relying on nothing that Sōzu did.
//!
//! Two parsers in a row that disagree are what request smuggling needs, so everything that frames a message or belongs
//! to one connection is taken out here and made anew on the other side.

mod client;
mod connection;
mod forwarded;
mod host;
mod names;
mod request;
mod response;
mod upgrade;

use http::{HeaderName, StatusCode};

use crate::model::{Ambiguous, HOP_FIELD};

pub use connection::clean_trailers;
pub use forwarded::{Connection, forwarded, real_ip};
pub use names::{drop_claims, drop_twins};
pub use request::{admit, hop_port, settle_path, towards_h1, towards_h2};
pub use response::{clean, clean_upgraded, head_bytes};
pub use upgrade::{Switch, Upgrade};

/// The field in which Sōzu tells the port of the listener. It never leaves the proxy.
pub const HOP: HeaderName = HeaderName::from_static(HOP_FIELD);

/// Why a request is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `CONNECT`: this is no forward proxy.
    #[error("CONNECT is not served")]
    Connect,
    /// No `Host`, several, or one that is no host.
    #[error("missing, repeated or invalid Host")]
    Host,
    /// A target that is neither a path, an absolute http(s) URL nor `*`.
    #[error("invalid request target")]
    Target,
    /// `Connection` names a field that frames the message, or its host.
    #[error("Connection nominates a protected field")]
    Nomination,
    /// An expectation other than `100-continue`.
    #[error("unknown expectation")]
    Expectation,
    /// It did not come over a hop: no port, or none that is a number.
    #[error("no listener port")]
    Hop,
    /// More fields than a head may have.
    #[error("too many fields")]
    Fields,
    /// It wants a WebSocket and has no key to answer with.
    #[error("a WebSocket without a key")]
    Key,
    /// It came by a connection that was made for another listener.
    #[error("another listener's host")]
    Misdirected,
    /// Its path can be read in two ways, and the port takes no such paths.
    #[error(transparent)]
    Path(#[from] Ambiguous),
}

impl Refusal {
    /// The status that the client gets.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::Host | Self::Target | Self::Nomination | Self::Key | Self::Path(_) => StatusCode::BAD_REQUEST,
            Self::Fields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Hop => StatusCode::NOT_FOUND,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        }
    }
}
