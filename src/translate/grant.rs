//! ReferenceGrants: who may refer across namespaces.

use super::facts::ObjectRef;
use super::reader::Reader;
use crate::report::RouteKind;

/// Who refers: kind and namespace.
pub(super) struct Referrer<'a> {
    pub(super) kind: &'a RouteKind,
    pub(super) namespace: &'a str,
}

/// Whether `from` may refer to the object `to` in `namespace`. Within one namespace it always may.
pub(super) fn permits(reader: &mut Reader<'_>, from: &Referrer<'_>, to: &ObjectRef, namespace: &str) -> bool {
    if from.namespace == namespace {
        return true;
    }
    reader.grants(namespace).iter().any(|grant| {
        let may_refer =
            |(group, kind, of): &(String, String, String)| *group == from.kind.group && *kind == from.kind.kind && of == from.namespace;
        let may_be_referred = |(group, kind, name): &(String, String, Option<String>)| {
            *group == to.group && *kind == to.kind && name.as_ref().is_none_or(|name| *name == to.name)
        };
        grant.from.iter().any(may_refer) && grant.to.iter().any(may_be_referred)
    })
}
