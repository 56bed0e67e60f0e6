//! Verdicts that hold for a while.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::snapshot::serve::Admitted;
use crate::snapshot::wire::{Hello, Refused};

/// What a verdict is about: a token and the edge that it was shown for. The token itself is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

type Verdict = Result<Admitted, Refused>;

/// A bounded number of verdicts.
pub(super) struct Verdicts {
    most: usize,
    all: HashMap<Key, (Verdict, Instant)>,
}

/// What a hello asks.
pub(super) fn key(hello: &Hello) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&hello.edge.len().to_le_bytes()).update(hello.edge.as_bytes()).update(hello.token.0.as_bytes());
    Key(*hasher.finalize().as_bytes())
}

impl Verdicts {
    /// None yet, and never more than `most`.
    pub fn new(most: usize) -> Self {
        Self { most, all: HashMap::new() }
    }

    /// The verdict, while it holds.
    pub fn get(&self, key: &Key) -> Option<Verdict> {
        self.all.get(key).filter(|(_, until)| Instant::now() < *until).map(|(verdict, _)| verdict.clone())
    }

    /// Keeps a verdict. When there is no room, refusals make way first, as they are what an attacker can make many of.
    pub fn put(&mut self, key: Key, verdict: Verdict, until: Instant) {
        if self.all.len() >= self.most {
            let now = Instant::now();
            self.all.retain(|_, (verdict, until)| now < *until && verdict.is_ok());
        }
        if self.all.len() < self.most {
            self.all.insert(key, (verdict, until));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::{Verdicts, key};
    use crate::model::EdgeId;
    use crate::snapshot::serve::Admitted;
    use crate::snapshot::wire::{Hello, Refused, Token};

    fn hello(edge: &str, token: &str) -> Hello {
        Hello { wire: 1, edge: edge.into(), token: Token(token.into()), have: None }
    }

    fn yes(until: Instant) -> Admitted {
        Admitted { edge: EdgeId { namespace: "n".into(), name: "g".into() }, node: "p".into(), until }
    }

    #[tokio::test(start_paused = true)]
    async fn they_hold_for_their_time_and_for_what_was_asked_only() {
        let mut verdicts = Verdicts::new(3);
        let until = Instant::now() + Duration::from_secs(60);
        verdicts.put(key(&hello("n/g", "t")), Ok(yes(until)), until);
        assert!(verdicts.get(&key(&hello("n/g", "t"))).unwrap().is_ok());
        assert!(verdicts.get(&key(&hello("n/h", "t"))).is_none());
        assert!(verdicts.get(&key(&hello("n/g", "u"))).is_none());
        assert!(verdicts.get(&key(&hello("n/gt", ""))).is_none());
        for number in 0..10 {
            let refused = Refused { refused: "no".into() };
            verdicts.put(key(&hello("n/g", &number.to_string())), Err(refused), until);
        }
        assert!(verdicts.all.len() <= 3);
        assert!(verdicts.get(&key(&hello("n/g", "t"))).is_some(), "refusals do not push out who was admitted");
        advance(Duration::from_secs(60)).await;
        assert!(verdicts.get(&key(&hello("n/g", "t"))).is_none());
    }
}
