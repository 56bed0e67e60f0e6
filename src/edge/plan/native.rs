//! Which rules Sōzu can serve alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Reason;
use super::target::{Edit, PathKind, PathRule, Side};
use crate::model::{
    Action, BackendId, BackendProtocol, BackendTarget, Filter, HOP_FIELD, HeaderEdit, Match, PathMatch, PathModifier, Rule,
};

/// Headers that a proxy or Sōzu itself owns on the way; edits of these are left to the filter, which has the whole message
/// in hand.
const RESERVED: [&str; 28] = [
    "age",
    "connection",
    "content-encoding",
    "content-length",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "sozu-id",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    HOP_FIELD,
    "x-real-ip",
    "x-request-id",
];

/// A rule that Sōzu can serve, as far as the rule alone says.
#[derive(Clone, Debug)]
pub(super) struct NativeRule {
    pub backend: BackendId,
    pub edits: Arc<Vec<Edit>>,
    path: Option<PathModifier>,
}

/// Judges a rule; `protocol` tells what a backend speaks.
pub(super) fn judge(rule: &Rule, protocol: impl Fn(&BackendId) -> BackendProtocol) -> Result<NativeRule, Reason> {
    let refs = match &rule.action {
        Action::Forward(refs) => refs,
        Action::Redirect(_) => return Err(Reason::Redirect),
        Action::Answer(_) => return Err(Reason::Answer),
    };
    let mut weighted = refs.iter().filter(|reference| reference.weight > 0);
    let only = match (weighted.next(), weighted.next()) {
        (None, _) => return Err(Reason::NoBackend),
        (Some(only), None) => only,
        (Some(_), Some(_)) => return Err(Reason::Weights),
    };
    let BackendTarget::Service(backend) = &only.target else { return Err(Reason::InvalidBackend) };
    if protocol(backend) == BackendProtocol::H2c {
        return Err(Reason::H2c);
    }
    let mut edits = Edits::default();
    let mut path = None;
    for filter in &rule.filters {
        match filter {
            Filter::Rewrite(rewrite) => {
                if rewrite.hostname.is_some() {
                    return Err(Reason::HostRewrite);
                }
                if path.is_some() {
                    return Err(Reason::PathRewrite);
                }
                path.clone_from(&rewrite.path);
            }
            Filter::RequestHeaders(edit) => edits.fold(Side::Request, edit)?,
            Filter::ResponseHeaders(edit) => edits.fold(Side::Response, edit)?,
            Filter::Timeouts(_) => return Err(Reason::Timeouts),
            Filter::Mirror(_) => return Err(Reason::Mirror),
            Filter::Retry(_) => return Err(Reason::Retry),
            Filter::Cors(_) => return Err(Reason::Cors),
        }
    }
    for filter in &only.filters {
        match filter {
            Filter::RequestHeaders(edit) => edits.fold(Side::Request, edit)?,
            Filter::ResponseHeaders(edit) => edits.fold(Side::Response, edit)?,
            Filter::Rewrite(_) | Filter::Timeouts(_) | Filter::Retry(_) | Filter::Cors(_) | Filter::Mirror(_) => {
                return Err(Reason::BackendFilter);
            }
        }
    }
    Ok(NativeRule { backend: backend.clone(), edits: Arc::new(edits.into_list()), path })
}

/// What happens to each header when all edits are done one after the other: cleared first or not, then these values
/// appended.
#[derive(Default)]
struct Edits(BTreeMap<(Side, String), (bool, Vec<String>)>);

impl Edits {
    fn fold(&mut self, side: Side, edit: &HeaderEdit) -> Result<(), Reason> {
        let named = edit.set.iter().chain(&edit.add);
        for (name, value) in named {
            if !is_plain_value(value) {
                return Err(Reason::HeaderEdit(name.clone()));
            }
        }
        let names = edit.set.iter().chain(&edit.add).map(|(name, _)| name).chain(&edit.remove);
        for name in names {
            if !is_token(name) || RESERVED.contains(&name.as_str()) {
                return Err(Reason::HeaderEdit(name.clone()));
            }
        }
        for (name, value) in &edit.set {
            self.0.insert((side, name.clone()), (true, vec![value.clone()]));
        }
        for (name, value) in &edit.add {
            self.0.entry((side, name.clone())).or_default().1.push(value.clone());
        }
        for name in &edit.remove {
            self.0.insert((side, name.clone()), (true, Vec::new()));
        }
        Ok(())
    }

    fn into_list(self) -> Vec<Edit> {
        let mut list = Vec::new();
        for ((side, name), (cleared, values)) in self.0 {
            if cleared {
                list.push(Edit { side, name: name.clone(), value: None });
            }
            list.extend(values.into_iter().map(|value| Edit { side, name: name.clone(), value: Some(value) }));
        }
        list
    }
}

/// An empty value would mean a removal to Sōzu; a control character would reach the wire as it is.
fn is_plain_value(value: &str) -> bool {
    !value.is_empty() && value.trim() == value && value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether the text is a path that a request can have, without a query.
pub(super) fn is_plain_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'?' && byte != b'#')
}

impl NativeRule {
    /// The path template for requests that match `matched` by way of `class`, one of its path conditions.
    pub(super) fn rewrite(&self, matched: &Match, class: &PathRule) -> Result<Option<String>, Reason> {
        let (replacement, tail) = match (&self.path, &matched.path) {
            (None, _) => return Ok(None),
            (Some(PathModifier::Full(full)), PathMatch::Exact(_)) => (full.as_str(), false),
            (Some(PathModifier::Prefix(prefix)), PathMatch::Prefix(matched)) if matched != "/" => (prefix.as_str(), true),
            _ => return Err(Reason::PathRewrite),
        };
        // Both stages agree on these forms without any rule about slashes at the end of the replacement.
        let root = tail && replacement == "/";
        if !is_plain_path(replacement) || replacement.contains('$') || (tail && !root && replacement.ends_with('/')) {
            return Err(Reason::PathRewrite);
        }
        Ok(Some(match (class.kind, class.text.as_bytes().last()) {
            (PathKind::Equals, _) => replacement.to_owned(),
            (PathKind::Prefix, Some(b'?')) => format!("{replacement}?$PATH[1]"),
            (PathKind::Prefix, _) if root => "/$PATH[1]".to_owned(),
            (PathKind::Prefix, _) => format!("{replacement}/$PATH[1]"),
        }))
    }
}
