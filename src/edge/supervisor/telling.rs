//! Log lines about changes: one when a change is applied, one a second at most while they do not cease, and what is refused of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::snapshot::wire::Refusal;
use crate::trouble::Trouble;

/// Changes that come within this of a line share the next one.
const PERIOD: Duration = Duration::from_secs(1);
/// Listeners that one line names.
const NAMED: usize = 16;
/// Refusals that are told one by one, at most.
const TELL: usize = 16;

/// What holds once a change is applied.
pub(super) struct Applied {
    /// Routes that are served.
    pub routes: usize,
    /// Resources that are held back.
    pub refused: usize,
    /// From its arrival on.
    pub took: Duration,
}

/// What was told of an edge, and what was not yet.
pub(super) struct Telling {
    edge: String,
    last: Option<Instant>,
    /// Changes since the last line, and the newest of them.
    changes: usize,
    newest: Option<Applied>,
    filter: Trouble,
}

impl Telling {
    /// Of an edge by its name.
    pub(super) fn new(edge: &str) -> Self {
        Self { edge: edge.to_owned(), last: None, changes: 0, newest: None, filter: Trouble::default() }
    }

    /// A change is applied: it waits to be told.
    pub(super) fn applied(&mut self, applied: Applied) {
        self.changes += 1;
        self.newest = Some(applied);
    }

    /// Tells what waits to be told, when it is time, with the addresses where clients connect.
    pub(super) fn rest(&mut self, listeners: impl FnOnce() -> BTreeSet<SocketAddr>) {
        if self.last.is_some_and(|last| last.elapsed() < PERIOD) {
            return;
        }
        let Some(Applied { routes, refused, took }) = self.newest.take() else { return };
        let (edge, changes) = (&self.edge, std::mem::take(&mut self.changes));
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let listeners = named(&listeners());
        tracing::info!(edge, listeners, routes, refused, changes, milliseconds, "applied");
        self.last = Some(Instant::now());
    }

    /// Tells which refusals are new, and which are over.
    pub(super) fn refused(&self, before: &[Refusal], now: &[Refusal]) {
        let [was, is] = [before, now].map(|all| all.iter().map(|refusal| (&refusal.key, refusal)).collect::<BTreeMap<_, _>>());
        let (edge, mut new) = (&self.edge, now.iter().filter(|refusal| was.get(&refusal.key) != Some(refusal)));
        for refusal in new.by_ref().take(TELL) {
            tracing::warn!(edge, "{}: {}", refusal.key, refusal.reason);
        }
        match new.count() {
            0 => {}
            more => tracing::warn!(edge, "{more} more resources are refused"),
        }
        for key in was.keys().filter(|key| !is.contains_key(*key)).take(TELL) {
            tracing::info!(edge, "{key}: no longer refused");
        }
    }

    /// Whether the filter proxy took a change in time.
    pub(super) fn filter(&mut self, took: bool) {
        let edge = &self.edge;
        match took {
            true if self.filter.ends() => tracing::info!(edge, "the filter proxy takes changes again"),
            true => {}
            false if self.filter.begins("late") => tracing::warn!(edge, "the filter proxy has not taken a change yet; Sōzu gets it first"),
            false => {}
        }
    }
}

fn named(listeners: &BTreeSet<SocketAddr>) -> String {
    let mut words: Vec<String> = listeners.iter().take(NAMED).map(ToString::to_string).collect();
    if listeners.len() > NAMED {
        words.push(format!("and {} more", listeners.len() - NAMED));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use super::{Applied, Telling, named};

    fn change() -> Applied {
        Applied { routes: 1, refused: 0, took: Duration::from_millis(5) }
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_do_not_cease_share_lines() {
        let mut telling = Telling::new("demo/web");
        telling.applied(change());
        telling.rest(BTreeSet::new);
        assert!(telling.newest.is_none(), "the first is told at once");
        for _ in 0..5 {
            telling.applied(change());
            telling.rest(BTreeSet::new);
        }
        assert_eq!(telling.changes, 5);
        tokio::time::advance(Duration::from_secs(1)).await;
        telling.rest(BTreeSet::new);
        assert_eq!((telling.changes, telling.newest.is_none()), (0, true), "the rest is told a second later");
    }

    #[test]
    fn many_listeners_make_no_long_line() {
        let all: BTreeSet<SocketAddr> = (1..=100).map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect();
        assert!(named(&all).ends_with("127.0.0.1:16 and 84 more"), "{}", named(&all));
    }
}
