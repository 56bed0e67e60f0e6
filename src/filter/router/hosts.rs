//! An index by hostname pattern that yields every pattern covering a host, the most specific first.

use imbl::HashMap;

use crate::model::Hostname;

/// Longest suffix of a wildcard pattern, from the longest DNS name. It bounds the look-ups per request, whatever the
/// client writes into `Host`.
const LONGEST: usize = 253;

/// Values by hostname pattern. A clone costs a few pointers.
#[derive(Clone)]
pub(super) struct HostIndex<V: Clone> {
    exact: HashMap<Box<str>, V>,
    wildcard: HashMap<Box<str>, V>,
    /// One label before these suffixes.
    label: HashMap<Box<str>, V>,
    any: Option<V>,
}

impl<V: Clone> Default for HostIndex<V> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new(), label: HashMap::new(), any: None }
    }
}

impl<V: Clone + Default> HostIndex<V> {
    /// All values, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.exact.values().chain(self.wildcard.values()).chain(self.label.values()).chain(&self.any)
    }

    /// The value of the pattern for every host.
    pub(super) fn any(&self) -> Option<&V> {
        self.any.as_ref()
    }

    /// The values of all patterns that cover `host` (lower-case, no port): exact, then a label before the
    /// suffix, then wildcards from the longest suffix to the shortest, then the one for every host.
    pub(super) fn covering<'t>(&'t self, host: &str) -> impl Iterator<Item = &'t V> {
        let exact = self.exact.get(host).into_iter();
        let dots = if self.wildcard.is_empty() { "" } else { host };
        let suffixes = dots.match_indices('.').filter(|(at, _)| *at > 0).filter_map(|(at, _)| host.get(at + 1..));
        let wildcard = suffixes.filter(|suffix| suffix.len() <= LONGEST).filter_map(|suffix| self.wildcard.get(suffix));
        let parts = host.split_once('.').filter(|(label, suffix)| !label.is_empty() && suffix.len() <= LONGEST);
        let label = parts.and_then(|(_, suffix)| self.label.get(suffix));
        exact.chain(label).chain(wildcard).chain(self.any.iter())
    }

    /// Changes the value of one pattern, starting from the default; a pattern whose value `keep` refuses is dropped.
    pub(super) fn update(&mut self, hostname: &Hostname, change: impl FnOnce(&mut V), keep: impl FnOnce(&V) -> bool) {
        let (map, name) = match hostname {
            Hostname::Exact(name) => (&mut self.exact, name),
            Hostname::Wildcard(suffix) => (&mut self.wildcard, suffix),
            Hostname::Label(suffix) => (&mut self.label, suffix),
            Hostname::Any => {
                let mut value = self.any.take().unwrap_or_default();
                change(&mut value);
                self.any = keep(&value).then_some(value);
                return;
            }
        };
        let value = map.entry(name.as_str().into()).or_default();
        change(value);
        if !keep(value) {
            map.remove(name.as_str());
        }
    }

    /// Whether no pattern is held.
    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty() && self.label.is_empty() && self.any.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::HostIndex;
    use crate::model::Hostname;

    fn parse(pattern: &str) -> Hostname {
        Hostname::try_from(pattern.to_owned()).unwrap()
    }

    fn index(patterns: &[&str]) -> HostIndex<String> {
        let mut index = HostIndex::default();
        for pattern in patterns {
            index.update(&parse(pattern), |value: &mut String| value.push_str(pattern), |_| true);
        }
        index
    }

    fn covering<'a>(index: &'a HostIndex<String>, host: &'a str) -> Vec<&'a str> {
        index.covering(host).map(String::as_str).collect()
    }

    #[test]
    fn the_most_specific_pattern_comes_first() {
        let index = index(&["*", "*.com", "*.b.com", "a.b.com", "c.b.com"]);
        assert_eq!(covering(&index, "a.b.com"), ["a.b.com", "*.b.com", "*.com", "*"]);
        assert_eq!(covering(&index, "x.y.b.com"), ["*.b.com", "*.com", "*"]);
        assert_eq!(covering(&index, "b.com"), ["*.com", "*"]);
        assert_eq!(covering(&index, ".com"), ["*"]);
        assert_eq!(covering(&index, "com"), ["*"]);
        assert_eq!(covering(&index, ""), ["*"]);
        assert_eq!(covering(&index, "a.b.com."), ["*"]);
    }

    #[test]
    fn covering_agrees_with_the_pattern_itself() {
        let patterns = ["*", "*.com", "*.b.com", "a.b.com", "*.a.b.com", "com", "{label}.com", "{label}.b.com"];
        let index = index(&patterns);
        for host in ["", ".", "..", "com", ".com", "..com", "a.com", "a..com", "b.com", "a.b.com", "c.a.b.com", ".b.com", "a.b.com."] {
            let mut found = covering(&index, host);
            let mut expected: Vec<&str> = patterns.into_iter().filter(|pattern| parse(pattern).matches(host)).collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{host:?}");
        }
    }

    #[test]
    fn a_long_host_costs_a_bounded_number_of_look_ups() {
        let index = index(&["*.com"]);
        let host = format!("{}com", "a.".repeat(100_000));
        assert_eq!(covering(&index, &host), ["*.com"]);
    }

    #[test]
    fn what_is_not_kept_is_gone() {
        let mut index = index(&["*", "*.com", "a.com"]);
        for pattern in ["*", "*.com", "a.com"] {
            assert!(!index.is_empty());
            index.update(&parse(pattern), String::clear, |value| !value.is_empty());
        }
        assert!(index.is_empty());
    }
}
