//! Counters that any thread may add to.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Count, Pair};

/// Upper bounds of the times that are told apart, in seconds.
pub const BOUNDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Statuses that are told apart, sorted. What backends invent beyond these counts by class: 1 to 5, and 0 without a status.
const STATUSES: [u16; 47] = [
    0, 1, 2, 3, 4, 5, 101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412,
    413, 414, 415, 416, 418, 421, 422, 425, 426, 428, 429, 431, 499, 500, 501, 502, 503, 504,
];

/// The label of a status: itself, its class, or `none` for a request that ended without one.
pub fn label(status: u16) -> Cow<'static, str> {
    match status {
        0 => Cow::Borrowed("none"),
        class @ 1..=5 => Cow::Owned(format!("{class}xx")),
        status => Cow::Owned(status.to_string()),
    }
}

/// Times, told apart by [`BOUNDS`].
#[derive(Debug, Default)]
pub struct Histogram {
    times: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Adds one time.
    pub fn add(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let place = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.times.get(place) {
            count.fetch_add(1, Relaxed);
        }
        self.micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Counts by place among the bounds, and the sum in seconds.
    pub fn read(&self) -> (Vec<u64>, f64) {
        let times = self.times.iter().map(|count| count.load(Relaxed)).collect();
        (times, Duration::from_micros(self.micros.load(Relaxed)).as_secs_f64())
    }
}

/// The requests of one pair.
#[derive(Debug)]
pub struct Tally {
    statuses: [AtomicU64; STATUSES.len()],
    times: Histogram,
}

impl Default for Tally {
    fn default() -> Self {
        Self { statuses: [const { AtomicU64::new(0) }; STATUSES.len()], times: Histogram::default() }
    }
}

impl Tally {
    /// Counts a request.
    pub fn add(&self, status: u16, time: Duration) {
        let class = if (100..600).contains(&status) { status / 100 } else { 0 };
        let place = STATUSES.binary_search(&status).ok().filter(|_| class > 0).unwrap_or(usize::from(class));
        if let Some(count) = self.statuses.get(place) {
            count.fetch_add(1, Relaxed);
        }
        self.times.add(time);
    }

    pub(super) fn read(&self, pair: &Pair) -> Count {
        let counted = STATUSES.iter().zip(&self.statuses).map(|(status, count)| (*status, count.load(Relaxed)));
        let statuses = counted.filter(|(_, count)| *count > 0).collect();
        let (times, seconds) = self.times.read();
        Count { pair: pair.clone(), statuses, times, seconds }
    }
}
