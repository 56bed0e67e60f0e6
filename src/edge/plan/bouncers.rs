//! Requests that Sōzu would pass on as no proxy should, told by one header field: they go to the filter proxy before any route is
//! looked at, and plain requests stay native.
//!
//! Sōzu looks at the first line of a field only, and knows neither `Host` nor `Cookie` here (`tests/sozu/bouncers.rs`).

use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::model::{CLAIMED_FIELDS, HOP_FIELD};

/// Requests with a certain field.
#[derive(Debug)]
pub struct Bouncer {
    /// The field, lower-case.
    pub name: String,
    /// What its value must match as a whole; none: any value.
    pub value: Option<String>,
    /// Why.
    pub why: Why,
    matches: Option<Regex>,
}

/// Why Sōzu is not to pass a field on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is between the client and us, with the fields that it names (RFC 9110 §7.6.1).
    HopByHop,
    /// It says in other letters, or in the name of another proxy, what backends believe of their own one.
    Claims,
    /// It is ours, between Sōzu and the filter proxy.
    Ours,
}

impl Why {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::HopByHop => "a field between client and proxy",
            Self::Claims => "a field that claims to be a proxy's",
            Self::Ours => "a field of the edge's own",
        }
    }
}

/// What the edge says of the client, in fields whose twins WSGI, CGI and PHP cannot tell from them.
const SAID: [&str; 5] = ["x-real-ip", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"];

/// A name with underscores in place of some of its hyphens, or of all.
fn twins(name: &str) -> impl Iterator<Item = String> {
    let words: Vec<&str> = name.split('-').collect();
    (1..1_u32 << (words.len() - 1)).map(move |mix| {
        let join = |at: usize| if mix >> at & 1 == 1 { "_" } else { "-" };
        words.iter().enumerate().flat_map(|(at, word)| [if at == 0 { "" } else { join(at - 1) }, word]).collect()
    })
}

/// Those of a port, in the order in which Sōzu asks. Where it keeps claims, there are none for them.
pub fn bouncers(keeps_claims: bool) -> impl Iterator<Item = &'static Bouncer> {
    all().iter().filter(move |bouncer| bouncer.stands(keeps_claims))
}

fn all() -> &'static [Bouncer] {
    static ALL: LazyLock<Vec<Bouncer>> = LazyLock::new(|| {
        let any = |name: String, why| Bouncer { name, value: None, why, matches: None };
        let matching = |name: &str, value: String| {
            let matches = Regex::new(&format!("^(?:{value})$")).ok();
            Bouncer { name: name.to_owned(), value: Some(value), why: Why::HopByHop, matches }
        };
        let mut all = vec![
            matching("connection", other_words(&["close", "keep-alive", "upgrade"])),
            // WebSockets stay with Sōzu, and so does what else a backend may change to.
            matching("upgrade", "(?i).*h2.*".to_owned()),
            matching("te", other_words(&["trailers"])),
        ];
        all.extend(["http2-settings", "keep-alive", "proxy-connection"].map(|name| any(name.to_owned(), Why::HopByHop)));
        all.push(any(HOP_FIELD.to_owned(), Why::Ours));
        let claims = SAID.into_iter().flat_map(twins).chain(CLAIMED_FIELDS.map(str::to_owned));
        all.extend(claims.map(|name| any(name, Why::Claims)));
        all
    });
    &ALL
}

impl Bouncer {
    /// Whether a port has it that keeps claims, or does not.
    pub fn stands(&self, keeps_claims: bool) -> bool {
        !keeps_claims || self.why != Why::Claims
    }

    /// Whether it takes a request whose first line of the field is this.
    pub fn takes(&self, value: &[u8]) -> bool {
        self.value.is_none() || self.matches.as_ref().is_some_and(|regex| regex.is_match(value))
    }
}

/// An expression for lists with a word that is none of these and no beginning of one, in any case.
fn other_words(words: &[&str]) -> String {
    // Sōzu's expressions have no complement: a word is another one where it first departs from all of these.
    let mut starts = std::collections::BTreeMap::<&str, String>::new();
    for word in words {
        for (at, letter) in word.char_indices() {
            starts.entry(&word[..at]).or_default().push(letter);
        }
        // What goes on after a whole word is another one.
        starts.entry(word).or_default();
    }
    let departs = starts.iter().map(|(start, next)| format!("{start}[^{}, \\t]", next.replace('-', "\\-")));
    format!("(?i)(?:.*[, \\t])?(?:{}).*", departs.collect::<Vec<_>>().join("|"))
}

#[cfg(test)]
mod tests {
    use super::{all, bouncers};

    fn caught(name: &str, value: &str) -> bool {
        all().iter().any(|bouncer| bouncer.name == name && bouncer.takes(value.as_bytes()))
    }

    #[test]
    fn what_browsers_and_pools_say_stays_native() {
        for value in ["close", "Keep-Alive", "keep-alive, Upgrade", "Upgrade", "upgrade,keep-alive", "close, ", ""] {
            assert!(!caught("connection", value), "{value}");
        }
        assert!(!caught("upgrade", "websocket") && !caught("te", "trailers") && !caught("te", "Trailers"));
        assert!(!caught("x-forwarded-for", "192.0.2.1") && !caught("user-agent", "h2"));
    }

    #[test]
    fn claims_may_pass_and_what_is_between_client_and_proxy_may_not() {
        let kept: Vec<_> = bouncers(true).map(|bouncer| bouncer.name.as_str()).collect();
        assert_eq!(kept, ["connection", "upgrade", "te", "http2-settings", "keep-alive", "proxy-connection", "x-kakehi-hop"]);
        assert_eq!(bouncers(false).count(), all().len());
    }

    #[test]
    fn lists_with_any_other_word_are_caught() {
        let lists = [
            "close, X-Real-IP",
            "X-Forwarded-Proto",
            "Upgrade, HTTP2-Settings",
            "keep-alive,te",
            "closed",
            "keep-alives",
            "upgrader",
            "cookie",
            "keep-alive\tx",
            "x-a,close",
            "upgrade ,  x",
        ];
        for value in lists {
            assert!(caught("connection", value), "{value}");
        }
        for value in ["h2c", "H2C", "websocket, h2c", "h2"] {
            assert!(caught("upgrade", value), "{value}");
        }
        assert!(caught("te", "gzip") && caught("te", "trailers, deflate;q=0.5"));
        assert!(caught("x_real_ip", "") && caught("keep-alive", "timeout=5") && caught("x-kakehi-hop", "80"));
    }
}
