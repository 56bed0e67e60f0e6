//! Which class an Ingress belongs to, and whether it is ours.

use crate::model::{EdgeId, Kind, ObjectId};
use crate::translate::facts::{Body, IngressFacts};
use crate::translate::reader::Reader;

/// The edge of the IngressClass that an Ingress names by its field, else by the deprecated annotation, else by default;
/// none when that class does not exist or is another controller's.
pub(super) fn edge_of(reader: &mut Reader<'_>, facts: &IngressFacts) -> Option<EdgeId> {
    let name = match &facts.class {
        Some(name) => name.clone(),
        None if reader.settings().ingress.without_class => default_class(reader)?,
        None => return None,
    };
    let class = &reader.fact(&ObjectId::new(Kind::IngressClass, "", &name))?.body;
    let controller = match class {
        Body::IngressClass(class) => class.controller.clone(),
        _ => return None,
    };
    (controller == reader.settings().ingress.controller_name).then(|| EdgeId::of_class(name))
}

/// The class that Ingresses without one are for: of several, the newest, as the API server chooses.
fn default_class(reader: &mut Reader<'_>) -> Option<String> {
    let classes = reader.ingress_classes().into_iter().filter(|class| class.facts.default);
    classes.min_by_key(|class| (std::cmp::Reverse(class.age.clone()), class.name.clone())).map(|class| class.name)
}
