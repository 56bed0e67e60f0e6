//! Which of its entries Sōzu takes for a request, as it was measured (`tests/sozu`, `tests/oracle/native.rs`).

use super::target::{Frontend, HostRule, PathKind, Target};

/// A request as far as Sōzu's router sees it.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// Port of the listener.
    pub port: u16,
    /// Host, lower-case and without port.
    pub host: &'a str,
    /// Target, query included.
    pub target: &'a str,
    /// Method.
    pub method: &'a str,
}

impl Target {
    /// The entry that takes a request; none: Sōzu answers 404.
    pub fn frontend(&self, lookup: &Lookup<'_>) -> Option<&Frontend> {
        let on_port = self.chains.iter().filter(|(id, _)| id.vhost.port.number == lookup.port);
        let frontends: Vec<&Frontend> = on_port.flat_map(|(_, chain)| &chain.frontends).collect();
        lookup.choose(&frontends)
    }
}

impl Lookup<'_> {
    /// The one of a port's entries, in the order of their insertion, that takes the request.
    pub(crate) fn choose<'f>(&self, frontends: &[&'f Frontend]) -> Option<&'f Frontend> {
        let all = || frontends.iter().copied();
        let suffix = self.host.split_once('.').map(|(_, suffix)| suffix);
        let exact = all().filter(|front| matches!(&front.host, HostRule::Exact(name) if name == self.host));
        let label = all().filter(|front| matches!(&front.host, HostRule::Label(of) if Some(of.as_str()) == suffix));
        self.tree(exact).or_else(|| self.tree(label)).or_else(|| {
            let mut list = all().filter(|front| match &front.host {
                HostRule::Labels(suffix) => {
                    self.host.strip_suffix(suffix.as_str()).is_some_and(|left| left.len() > 1 && left.ends_with('.'))
                }
                HostRule::Any => true,
                HostRule::Exact(_) | HostRule::Label(_) => false,
            });
            list.find(|front| self.path(front) && self.method(front) != Some(false))
        })
    }

    /// Among the entries of one host the longest path wins; an equal path with the method ends the search.
    fn tree<'f>(&self, frontends: impl Iterator<Item = &'f Frontend>) -> Option<&'f Frontend> {
        let mut length = 0;
        let mut won = None;
        for front in frontends.filter(|front| self.path(front)) {
            match (front.path.kind, self.method(front)) {
                (_, Some(false)) => {}
                (PathKind::Equals, Some(true)) => return Some(front),
                (PathKind::Equals, None) => (length, won) = (self.target.len(), Some(front)),
                (PathKind::Prefix, _) if front.path.text.len() >= length => (length, won) = (front.path.text.len(), Some(front)),
                (PathKind::Prefix, _) => {}
            }
        }
        won
    }

    fn path(&self, front: &Frontend) -> bool {
        match front.path.kind {
            PathKind::Prefix => self.target.starts_with(&front.path.text),
            PathKind::Equals => self.target == front.path.text,
        }
    }

    /// None: no method is named.
    fn method(&self, front: &Frontend) -> Option<bool> {
        front.method.as_ref().map(|method| method == self.method)
    }
}
