//! One connection as the process knows it: what it makes the process hold, and since when it stands still.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use arc_swap::ArcSwapOption;
use futures::task::AtomicWaker;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use super::addresses::{self, Addresses};
use super::budget::Budget;
use super::frames::{self, Grown};
use super::queue::CONNECTION_QUEUE;

/// What a connection takes beside what is counted: its tasks, its buffers as long as they are small, the state of TLS.
pub(super) const CONNECTION: usize = 20 * 1024;
/// What TLS may hold of a connection whose client takes nothing; see `relay`.
pub(in crate::filter) const TLS_BUFFER: usize = 32 * 1024;
/// More can not be unread, whatever was counted: by the limits of what is read ahead.
const MOST: usize = 64 * 1024;
const MOST_OF_FRAMES: usize = 2 * CONNECTION_WINDOW as usize;
/// How much of the bodies on one HTTP/2 connection may be unread, and of one body.
pub(in crate::filter) const CONNECTION_WINDOW: u32 = 512 * 1024;
pub(in crate::filter) const STREAM_WINDOW: u32 = 256 * 1024;

/// Which connections these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::filter) enum Side {
    /// Of Sōzu, which keeps them for its clients and knows best when they are not needed.
    Hop,
    /// Of clients.
    Client,
}

/// A connection. All its numbers change on one thread; others hold it, as bodies may be dropped anywhere.
pub(in crate::filter) struct Meter {
    side: Side,
    budget: Arc<Budget>,
    /// Connections that are open, over all workers.
    seats: Arc<AtomicUsize>,
    seated: AtomicBool,
    address: ArcSwapOption<addresses::Counted>,
    /// Whoever looks after the worker's connections.
    upkeep: Arc<Notify>,
    start: Instant,
    /// Everything that is charged to it.
    held: AtomicUsize,
    /// Of that: read, and not passed on; and header blocks that are not complete.
    unread: AtomicUsize,
    block: AtomicUsize,
    /// What is read are frames of HTTP/2.
    framed: AtomicBool,
    /// Of that: bodies that were handed out to be written, and were not.
    queued: AtomicUsize,
    /// Charged because TLS may hold it.
    in_tls: AtomicUsize,
    /// Requests and tunnels that are open.
    open: AtomicU32,
    /// Whether there was a request.
    asked: AtomicBool,
    /// Its task waits for a request.
    awaiting: AtomicBool,
    /// Milliseconds of [`Meter::now`]: when bytes last moved; when a queue last became shorter, or was empty; since when a
    /// write waits, or 0; since when a head is arriving, or 0; since when no request is open.
    moved: AtomicU64,
    drained: AtomicU64,
    blocked: AtomicU64,
    head: AtomicU64,
    idle: AtomicU64,
    closed: AtomicBool,
    waker: AtomicWaker,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("side", &self.side).field("held", &self.held).finish_non_exhaustive()
    }
}

/// What the meters of one worker have in common.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) budget: Arc<Budget>,
    pub(super) seats: Arc<AtomicUsize>,
    pub(super) upkeep: Arc<Notify>,
    pub(super) start: Instant,
}

impl Meter {
    /// A connection that opens now.
    pub(super) fn new(side: Side, common: &Common) -> Arc<Self> {
        let Common { budget, seats, upkeep, start } = common.clone();
        seats.fetch_add(1, Relaxed);
        budget.add(CONNECTION);
        let meter = Self {
            side,
            budget,
            seats,
            seated: AtomicBool::new(true),
            address: ArcSwapOption::empty(),
            upkeep,
            start,
            held: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            block: AtomicUsize::new(0),
            framed: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            in_tls: AtomicUsize::new(0),
            open: AtomicU32::new(0),
            asked: AtomicBool::new(false),
            awaiting: AtomicBool::new(false),
            moved: AtomicU64::new(0),
            drained: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            head: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        };
        let now = meter.now();
        meter.moved.store(now, Relaxed);
        meter.idle.store(now, Relaxed);
        Arc::new(meter)
    }

    /// Milliseconds since the worker began, and never 0.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Names the client. False when it has too many connections.
    pub(in crate::filter) fn belongs_to(&self, ip: IpAddr, all: &Arc<Addresses>, most: usize) -> bool {
        if most == 0 {
            return true;
        }
        let counted = all.take(ip, most);
        let taken = counted.is_some();
        self.address.store(counted.map(Arc::new));
        taken
    }

    pub(super) fn charge(&self, bytes: usize) {
        self.held.fetch_add(bytes, Relaxed);
        self.budget.add(bytes);
        if self.budget.is_full() {
            self.upkeep.notify_one();
        }
    }

    pub(super) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Relaxed);
        self.budget.sub(bytes);
    }

    /// Charges what a counter is to be in place of what it was.
    fn set(&self, counter: &AtomicUsize, to: usize) {
        let from = counter.swap(to, Relaxed);
        if to > from {
            self.charge(to - from);
        } else if from > to {
            self.release(from - to);
        }
    }

    /// Whether nothing more may come in.
    pub(in crate::filter) fn is_full(&self) -> bool {
        self.budget.is_full()
    }

    /// Whether answers on it are to wait for what was queued before.
    pub(super) fn is_crowded(&self) -> bool {
        self.queued.load(Relaxed) >= CONNECTION_QUEUE || self.is_full()
    }

    /// Bytes were read, of frames or not.
    pub(super) fn read(&self, grown: Grown, framed: bool) {
        let now = self.now();
        self.moved.store(now, Relaxed);
        if framed && !self.framed.load(Relaxed) {
            self.framed.store(true, Relaxed);
            self.set(&self.unread, 0);
        }
        // Without an open stream HTTP/2 keeps no data.
        if grown.data > 0 && (!framed || self.open() > 0) {
            let most = if framed { MOST_OF_FRAMES } else { MOST };
            self.set(&self.unread, (self.unread.load(Relaxed) + grown.data).min(most));
        }
        let block = if grown.complete { grown.block } else { self.block.load(Relaxed) + grown.block };
        self.set(&self.block, block);
        let in_head = block > 0 || (!framed && self.open() == 0 && self.unread.load(Relaxed) > 0);
        match self.head.load(Relaxed) {
            _ if !in_head => self.head.store(0, Relaxed),
            0 => self.head.store(now, Relaxed),
            _ if grown.complete => self.head.store(now, Relaxed),
            _ => {}
        }
    }

    /// Some of what was read is passed on.
    pub(in crate::filter) fn passed(&self, bytes: usize) {
        let beside = if self.framed.load(Relaxed) { frames::BESIDE } else { 0 };
        self.set(&self.unread, self.unread.load(Relaxed).saturating_sub(bytes + beside));
    }

    /// Bytes were written.
    pub(super) fn wrote(&self) {
        self.moved.store(self.now(), Relaxed);
        self.unblocked();
    }

    pub(super) fn unblocked(&self) {
        if self.blocked.swap(0, Relaxed) != 0 {
            self.set(&self.in_tls, 0);
        }
    }

    /// A write waits.
    pub(super) fn blocked(&self, tls: bool) {
        if self.blocked.load(Relaxed) == 0 {
            self.blocked.store(self.now(), Relaxed);
            self.set(&self.in_tls, if tls { TLS_BUFFER } else { 0 });
        }
    }

    /// Part of an answer waits to be written.
    pub(super) fn queue(&self, bytes: usize) {
        if self.queued.fetch_add(bytes, Relaxed) == 0 {
            self.drained.store(self.now(), Relaxed);
        }
        self.charge(bytes);
    }

    /// It is written, or dropped.
    pub(super) fn unqueue(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Relaxed);
        self.drained.store(self.now(), Relaxed);
        self.release(bytes);
    }

    /// A request begins, whose head had about so many bytes.
    pub(super) fn begin(&self, head: usize) {
        self.open.fetch_add(1, Relaxed);
        self.asked.store(true, Relaxed);
        self.head.store(0, Relaxed);
        if !self.framed.load(Relaxed) {
            self.passed(head);
        }
        if self.awaiting.load(Relaxed) {
            self.waker.wake();
        }
    }

    /// A request or tunnel has ended.
    pub(super) fn end(&self) {
        if self.open.fetch_sub(1, Relaxed) == 1 {
            self.idle.store(self.now(), Relaxed);
            self.set(&self.unread, 0);
        }
    }

    /// Requests and tunnels that are open.
    pub(in crate::filter) fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Ready when a client's connection has had a request; when one of Sōzu's has one open.
    pub(in crate::filter) fn poll_asked(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.awaiting.store(true, Relaxed);
        self.waker.register(cx.waker());
        let asked = match self.side {
            Side::Client => self.asked.load(Relaxed),
            Side::Hop => self.open() > 0,
        };
        if asked { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Which connection it is.
    pub(in crate::filter) fn side(&self) -> Side {
        self.side
    }

    /// Since when a client's connection is of no use, in milliseconds; nothing while it is.
    pub(super) fn idle_since(&self) -> Option<u64> {
        let waits = self.blocked.load(Relaxed) != 0 || self.queued.load(Relaxed) > 0;
        let idle = self.side == Side::Client && self.open() == 0 && !waits && !self.is_closed();
        idle.then(|| self.idle.load(Relaxed))
    }

    /// When bytes last moved, and how many it holds.
    pub(super) fn weight(&self) -> (u64, usize) {
        let queued = self.queued.load(Relaxed) > 0;
        let moved = if queued { self.drained.load(Relaxed) } else { self.moved.load(Relaxed) };
        (moved, self.held.load(Relaxed))
    }

    /// Whether its peer has taken nothing for `stall` although something waits to be written, or has been sending one head for
    /// longer than `head`.
    pub(super) fn stalls(&self, stall: Duration, head: Duration) -> bool {
        let now = self.now();
        let longer = |since: u64, than: Duration| u128::from(now.saturating_sub(since)) >= than.as_millis();
        let blocked = self.blocked.load(Relaxed);
        let waits = blocked != 0 && longer(blocked.max(self.moved.load(Relaxed)), stall);
        let stuck = self.queued.load(Relaxed) > 0 && longer(self.drained.load(Relaxed), stall);
        let arriving = self.head.load(Relaxed);
        waits || stuck || (arriving != 0 && longer(arriving, head))
    }

    /// Closes it as soon as its task runs; it counts as gone at once.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.leave();
        self.waker.wake();
    }

    /// Whether it is to be closed, or is.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Ready when it is to be closed. One task at a time waits.
    pub(in crate::filter) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.is_closed() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Gives its place to another connection.
    fn leave(&self) {
        if self.seated.swap(false, Relaxed) {
            self.seats.fetch_sub(1, Relaxed);
            self.address.store(None);
        }
    }

    /// Its stream is gone.
    pub(super) fn gone(&self) {
        self.closed.store(true, Relaxed);
        self.leave();
        self.set(&self.unread, 0);
        self.set(&self.block, 0);
        self.set(&self.in_tls, 0);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.leave();
        self.budget.sub(CONNECTION + self.held.load(Relaxed));
    }
}
