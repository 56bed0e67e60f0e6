//! Settings and limits, all in one place.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::Tuning;

/// What the process is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Unix socket on which the supervisor publishes this edge's snapshot.
    pub snapshot: PathBuf,
    /// Where requests come in.
    pub listen: Listen,
    /// Where connections of relayed ports come in.
    pub relay: Option<Listen>,
    /// Unix socket that answers each connection with a [`Report`](crate::traffic::Report) as JSON.
    pub report: Option<PathBuf>,
    /// Threads that serve; each has its own runtime and its own upstream connections. One was faster than two on the
    /// machine of the measurements.
    pub workers: usize,
    /// How long requests may take to end once a stop is asked for.
    pub drain: Duration,
}

/// Where requests come in.
#[derive(Clone, Debug)]
pub enum Listen {
    /// A unix socket that the parent left (`LISTEN_FDS`), by its number: 0 is file descriptor 3.
    Inherited(usize),
    /// A unix socket that is made here; a leftover of that name is replaced.
    Unix(PathBuf),
    /// A TCP address, for tests.
    Tcp(SocketAddr),
}

/// Limits on both sides. Sizes are bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time for a request head to arrive over the hop, and so for how long a connection may idle. Longer than Sōzu keeps its
    /// own idle connections (two hours at most), so that the closing side is never ours.
    pub head_timeout: Duration,
    /// The same for clients of relayed ports.
    pub client_head_timeout: Duration,
    /// Time until a relayed connection is ready for requests: PROXY protocol and TLS.
    pub open_timeout: Duration,
    /// How long a tunnel may be silent both ways.
    pub tunnel_idle: Duration,
    /// Header fields of one message.
    pub max_fields: usize,
    /// Size of a request head, and of the buffer that reads ahead.
    pub max_head: usize,
    /// The same for answers of backends.
    pub max_answer_head: usize,
    /// Bytes of a buffer of the Sōzus that hand over requests, which has to hold the head of an answer.
    pub sozu_buffer: usize,
    /// Streams that one HTTP/2 client connection may have open.
    pub max_streams: u32,
    /// Streams that a client may reset before they are accepted (rapid reset).
    pub max_pending_resets: usize,
    /// Time for a TCP connection to a backend.
    pub connect_timeout: Duration,
    /// Time for a response head, counted from the last byte of the request. A little less than Sōzu's own silence, which is what
    /// requests have that it serves alone: a rule has about the same patience in every stage.
    pub response_timeout: Duration,
    /// Endpoints of a backend that are tried until one accepts a connection.
    pub connect_attempts: usize,
    /// Idle connections kept per endpoint.
    pub max_idle: usize,
    /// How long one is kept idle: shorter than the 5 s after which Node.js closes it, because a request that may not be
    /// repeated is lost when both happen at once.
    pub idle_timeout: Duration,
    /// How long one is used at all.
    pub max_age: Duration,
    /// Open streams on an HTTP/2 connection from which on another one is made.
    pub streams_per_connection: usize,
    /// HTTP/2 connections to one endpoint; more, for as many streams, where it allows fewer on each.
    pub max_h2_connections: usize,
    /// Copies for mirrors that may be on their way at a time; more are left out.
    pub max_mirrors: i64,
    /// How long requests wait for the first snapshot of a process that has just started.
    pub first_snapshot: Duration,
    /// How long a peer may take nothing of what waits to be written to it.
    pub stall: Duration,
    /// Time for a head to arrive, from its first byte.
    pub head: Duration,
    /// Requests and tunnels that one endpoint may have open, and how many requests may wait for one of them to end.
    pub max_exchanges: usize,
    /// See `max_exchanges`.
    pub max_waiting: usize,
    /// How long a request waits for its endpoint to have one less.
    pub wait: Duration,
    /// Bytes that clients may make the process hold.
    pub memory: usize,
    /// Connections that the process serves at a time, and requests that may wait for the first snapshot.
    pub connections: usize,
    /// How many of them one client address may have on relayed ports; 0 is no limit.
    pub connections_per_address: usize,
}

impl Limits {
    /// How large the head of an answer may be that Sōzu passes on: its buffer must hold what it adds too.
    pub(super) fn hop_head(&self) -> usize {
        /// Fields that Sōzu adds, and what of the body is in the same buffer.
        const BESIDE: usize = 2048;
        self.sozu_buffer.saturating_sub(BESIDE)
    }

    /// Those of connections that carry requests which Sōzu has read: what Sōzu adds does not count against the client.
    pub(super) fn over_the_hop(&self) -> Self {
        /// Fields that Sōzu adds, and their bytes, `X-Forwarded-For` with the members of some proxies.
        const ADDED: (usize, usize) = (16, 2048);
        Self { max_fields: self.max_fields + ADDED.0, max_head: self.max_head + ADDED.1, ..*self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(9_000),
            client_head_timeout: Duration::from_secs(75),
            open_timeout: Duration::from_secs(10),
            tunnel_idle: Duration::from_secs(3600),
            max_fields: 256,
            max_head: 32 * 1024,
            max_answer_head: 64 * 1024,
            sozu_buffer: 64 * 1024,
            max_streams: Tuning::MAX_STREAMS,
            max_pending_resets: 32,
            connect_timeout: Duration::from_secs(3),
            response_timeout: Duration::from_secs(170),
            connect_attempts: 3,
            max_idle: 256,
            idle_timeout: Duration::from_secs(4),
            max_age: Duration::from_secs(600),
            streams_per_connection: 100,
            max_h2_connections: 16,
            max_mirrors: 512,
            first_snapshot: Duration::from_secs(5),
            stall: Duration::from_secs(60),
            head: Duration::from_secs(30),
            max_exchanges: 8192,
            max_waiting: 1024,
            wait: Duration::from_secs(10),
            memory: 256 << 20,
            connections: 10_000,
            connections_per_address: 5_000,
        }
    }
}
