//! What a line may say.

use clap::ValueEnum;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// There are none.
    #[default]
    Off,
    /// One JSON object a line.
    Json,
    /// Words of the form name=value.
    Text,
}

impl Format {
    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

/// A field of a line. One that a request does not have is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[clap(rename_all = "camelCase")]
pub enum Field {
    /// When the request began, in UTC
    Time,
    /// The edge
    Edge,
    /// What answered: native is Sōzu alone, filtered the filter proxy
    Stage,
    /// The client's address
    Client,
    /// Method
    Method,
    /// http or https
    Scheme,
    /// Host, as the client wrote it
    Host,
    /// Path, as the client wrote it, without the query
    Path,
    /// What follows the path's question mark
    Query,
    /// Status; absent when the request ended without an answer
    Status,
    /// Milliseconds from the first byte of the request to the last of the answer
    Milliseconds,
    /// Bytes that the client sent
    BytesIn,
    /// Bytes that it was sent
    BytesOut,
    /// Route that took the request: KIND/NAMESPACE/NAME
    Route,
    /// Backend that was chosen: NAMESPACE/SERVICE:PORT
    Backend,
    /// The client's User-Agent
    UserAgent,
    /// X-Request-Id, as the backend gets it
    RequestId,
}

impl Field {
    /// All fields, in the order of a line.
    pub const ALL: [Self; 17] = [
        Self::Time,
        Self::Edge,
        Self::Stage,
        Self::Client,
        Self::Method,
        Self::Scheme,
        Self::Host,
        Self::Path,
        Self::Query,
        Self::Status,
        Self::Milliseconds,
        Self::BytesIn,
        Self::BytesOut,
        Self::Route,
        Self::Backend,
        Self::UserAgent,
        Self::RequestId,
    ];

    /// Its name in a line and on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Edge => "edge",
            Self::Stage => "stage",
            Self::Client => "client",
            Self::Method => "method",
            Self::Scheme => "scheme",
            Self::Host => "host",
            Self::Path => "path",
            Self::Query => "query",
            Self::Status => "status",
            Self::Milliseconds => "milliseconds",
            Self::BytesIn => "bytesIn",
            Self::BytesOut => "bytesOut",
            Self::Route => "route",
            Self::Backend => "backend",
            Self::UserAgent => "userAgent",
            Self::RequestId => "requestId",
        }
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields(u32);

impl Fields {
    /// These; the default where none is named.
    pub(super) fn of(named: &[Field]) -> Self {
        match named {
            [] => Self(
                Field::ALL.iter().filter(|field| ![Field::Query, Field::RequestId].contains(field)).fold(0, |all, field| all | field.bit()),
            ),
            named => Self(named.iter().fold(0, |all, field| all | field.bit())),
        }
    }

    pub(super) fn has(self, field: Field) -> bool {
        self.0 & field.bit() != 0
    }
}
