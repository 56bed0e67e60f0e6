//! One enum over all kinds that Kakehi reads, and the way back to the typed object.

use std::sync::Arc;

use kube::api::ObjectMeta;

use super::{
    ConfigMap, EdgeProfile, EndpointSlice, Gateway, GatewayClass, GrpcRoute, HttpRoute, Ingress, IngressClass, ListenerSet, Malformed,
    Namespace, Obj, ReferenceGrant, Secret, Service,
};
use crate::model::{Kind, ObjectId};

/// A Kubernetes type with a row in the table of kinds.
pub trait ApiKind: Sized {
    /// Its kind.
    const KIND: Kind;

    /// Into the enum.
    fn wrap(object: Arc<Obj<Self>>) -> Object;

    /// Back, when the object is of this kind.
    fn unwrap(object: &Object) -> Option<&Arc<Obj<Self>>>;
}

macro_rules! kinds {
    ($($kind:ident => $type:ty),+ $(,)?) => {
        /// An object of any kind that Kakehi reads.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Object {
            $(#[doc = concat!("A ", stringify!($kind), ".")] $kind(Arc<Obj<$type>>),)+
        }

        impl Object {
            /// Decodes a manifest of a known kind.
            ///
            /// # Errors
            /// Only when its metadata cannot be read.
            pub fn from_value(kind: Kind, value: serde_json::Value) -> Result<Self, serde_json::Error> {
                Ok(match kind {
                    $(Kind::$kind => Self::$kind(Arc::new(Obj::from_value(value)?)),)+
                })
            }

            /// Decodes an object whose metadata are known.
            pub fn from_parts(kind: Kind, metadata: ObjectMeta, fields: serde_json::Map<String, serde_json::Value>) -> Self {
                match kind {
                    $(Kind::$kind => Self::$kind(Arc::new(Obj::from_parts(metadata, fields))),)+
                }
            }

            /// The status as it is written.
            pub fn status(&self) -> Option<&serde_json::Value> {
                match self {
                    $(Self::$kind(object) => object.status.as_ref(),)+
                }
            }

            /// The kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)+
                }
            }

            /// The metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Self::$kind(object) => &object.metadata,)+
                }
            }

            /// The same object with other metadata.
            #[must_use]
            pub fn with_metadata(self, change: impl FnOnce(&mut ObjectMeta)) -> Self {
                match self {
                    $(Self::$kind(mut object) => {
                        change(&mut Arc::make_mut(&mut object).metadata);
                        Self::$kind(object)
                    })+
                }
            }

            /// The object as a manifest; without a body when that could not be read.
            ///
            /// # Errors
            /// Never for these plain values; serialisation is fallible by type.
            pub fn to_value(&self) -> Result<serde_json::Value, serde_json::Error> {
                let (mut value, metadata) = match self {
                    $(Self::$kind(object) => (object.ok().map(serde_json::to_value).transpose()?, &object.metadata),)+
                };
                let status = self.status();
                let fields = value.get_or_insert_with(|| serde_json::json!({"kind": self.kind().name()}));
                if let Some(fields) = fields.as_object_mut() {
                    fields.insert("metadata".into(), serde_json::to_value(metadata)?);
                    if let Some(status) = status {
                        fields.insert("status".into(), status.clone());
                    }
                }
                Ok(value.unwrap_or_default())
            }

            /// Why the body could not be read, if so.
            pub fn malformed(&self) -> Option<&Malformed> {
                match self {
                    $(Self::$kind(object) => object.body.as_ref().err(),)+
                }
            }

            /// Fields that the type does not know.
            pub fn unknown(&self) -> &[String] {
                match self {
                    $(Self::$kind(object) => &object.unknown,)+
                }
            }
        }

        $(
            impl ApiKind for $type {
                const KIND: Kind = Kind::$kind;

                fn wrap(object: Arc<Obj<Self>>) -> Object {
                    Object::$kind(object)
                }

                fn unwrap(object: &Object) -> Option<&Arc<Obj<Self>>> {
                    match object {
                        Object::$kind(object) => Some(object),
                        _ => None,
                    }
                }
            }
        )+
    };
}

kinds! {
    GatewayClass => GatewayClass,
    Gateway => Gateway,
    ListenerSet => ListenerSet,
    HttpRoute => HttpRoute,
    GrpcRoute => GrpcRoute,
    ReferenceGrant => ReferenceGrant,
    EdgeProfile => EdgeProfile,
    Namespace => Namespace,
    Service => Service,
    EndpointSlice => EndpointSlice,
    Secret => Secret,
    ConfigMap => ConfigMap,
    IngressClass => IngressClass,
    Ingress => Ingress,
}

impl Object {
    /// The identity.
    pub fn id(&self) -> ObjectId {
        let metadata = self.metadata();
        ObjectId::new(self.kind(), metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
    }
}

/// What happened to one object. The pump of every source emits it, deletions included.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which object.
    pub id: ObjectId,
    /// Before, if it existed.
    pub old: Option<Object>,
    /// After, if it exists.
    pub new: Option<Object>,
}
