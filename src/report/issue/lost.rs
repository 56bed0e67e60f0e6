//! Why no edge serves an object: it names what does not exist, or nothing at all.

use serde::Serialize;

use super::within;
use crate::model::Kind;

/// What an object names that does not exist, or does not name, or names of others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
pub enum Lost {
    /// An object of this kind and name does not exist.
    #[error("no {kind} {name}; {}", those(&plural(*kind), known, *others))]
    NoSuchObject {
        /// Kind.
        kind: Kind,
        /// Name, with its namespace.
        name: String,
        /// Objects of the kind that exist.
        known: Vec<String>,
        /// How many more there are.
        others: usize,
    },
    /// A route without parents.
    #[error("not set, so no Gateway serves this route; {}", those("Gateways", known, *others))]
    NoParent {
        /// Gateways that exist.
        known: Vec<String>,
        /// How many more there are.
        others: usize,
    },
    /// An Ingress that names no class where no class is the default.
    #[error("not set, and no IngressClass is the default, so this Ingress is not served; {}", those("IngressClasses", known, *others))]
    NoClass {
        /// IngressClasses that exist.
        known: Vec<String>,
        /// How many more there are.
        others: usize,
    },
    /// A class of another controller where there is none.
    #[error("{controller:?} is another controller, so nothing of this class is served; Kakehi is {ours:?}")]
    OtherController {
        /// The controller that the class names.
        controller: String,
        /// Our name.
        ours: String,
    },
    /// A parent of a kind that is not served.
    #[error("parents of kind {}{kind} are not supported", within(group))]
    UnsupportedParent {
        /// API group.
        group: String,
        /// Kind.
        kind: String,
    },
    /// An EndpointSlice that names no Service.
    #[error("kubernetes.io/service-name is not set, so no Service uses these endpoints; {}", those("Services", known, *others))]
    NoServiceLabel {
        /// Services of its namespace.
        known: Vec<String>,
        /// How many more there are.
        others: usize,
    },
    /// Annotations of other controllers on an Ingress of ours.
    #[error("{} {} no effect: another controller reads {}", annotations.join(", "), if annotations.len() == 1 { "has" } else { "have" }, if annotations.len() == 1 { "it" } else { "them" })]
    ForeignAnnotations {
        /// Their names.
        annotations: Vec<String>,
    },
}

/// The objects of a kind that exist, as the end of a message.
fn those(kind: &str, known: &[String], others: usize) -> String {
    match (known.is_empty(), others) {
        (true, _) => format!("there are no {kind}"),
        (false, 0) => format!("{kind}: {}", known.join(", ")),
        (false, others) => format!("{kind}: {} and {others} more", known.join(", ")),
    }
}

fn plural(kind: Kind) -> String {
    let name = kind.name();
    format!("{name}{}", if name.ends_with('s') { "es" } else { "s" })
}
