//! What the paths of a host leave over. It falls to the wildcard that covers the host, then to rules without a host, but only to
//! those of the same namespace: another tenant's catch-all does not see the requests of a host that it does not own.

use super::translate::{forward, referrer};
use super::{Applicant, Wish};
use crate::model::{Action, EdgeId, Hostname, ObjectId, PathMatch, Rule};
use crate::translate::reader::Reader;

/// The rule that answers the rest of a host where it would fall to another namespace: as the edge does where no Ingress takes a
/// request. None: nothing is left over, or it may fall on, or another Ingress of the namespace has this rule.
pub(super) fn close(reader: &mut Reader<'_>, (id, edge): (&ObjectId, &EdgeId), host: &Hostname, rules: &[Rule]) -> Option<Rule> {
    let root = PathMatch::Prefix("/".to_owned());
    let takes_all = |rule: &Rule| rule.host.as_ref() == Some(host) && rule.matches.iter().any(|matched| matched.path == root);
    if rules.iter().any(takes_all) {
        return None;
    }
    let namespace = || id.namespace.clone();
    let is_first = granted(reader, (edge, Wish::Rest(namespace(), host.clone()))).is_some_and(|first| first == *id);
    if !is_first
        || granted(reader, (edge, Wish::Path(namespace(), host.clone(), root.clone()))).is_some()
        || !falls_to_another(reader, (&id.namespace, edge), host)
    {
        return None;
    }
    let default = reader.settings().ingress.default_backend.clone();
    let action = default.map(|backend| forward(reader, &referrer(&backend.namespace), &backend.service, backend.port.into()).0);
    Some(Rule::for_every_path(host.clone(), action.unwrap_or(Action::Answer(404)), true))
}

fn granted(reader: &mut Reader<'_>, (edge, wish): (&EdgeId, Wish)) -> Option<ObjectId> {
    reader.granted(edge, wish).map(|Applicant { id, .. }| id)
}

/// Whether the next less specific host that has rules is another namespace's.
fn falls_to_another(reader: &mut Reader<'_>, (namespace, edge): (&str, &EdgeId), host: &Hostname) -> bool {
    let parent = match host {
        Hostname::Exact(name) => name.split_once('.').map(|(_, suffix)| Hostname::Label(suffix.to_owned())),
        _ => None,
    };
    let every = (*host != Hostname::Any).then_some(Hostname::Any);
    for wider in parent.into_iter().chain(every) {
        let Some(owner) = reader.host_owner(edge, &wider) else { continue };
        if granted(reader, (edge, Wish::Rest(owner.clone(), wider))).is_some() {
            return owner != namespace;
        }
    }
    false
}
