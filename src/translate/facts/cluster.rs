//! Namespaces and Secrets.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;

use crate::api::Secret;
use crate::model::PrivateKey;

/// The label that every namespace carries with its own name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamespaceFacts {
    pub(crate) labels: BTreeMap<String, String>,
}

impl NamespaceFacts {
    pub(super) fn read(metadata: &ObjectMeta) -> Self {
        let labels = metadata.labels.clone().unwrap_or_default();
        Self { labels }.named(metadata.name.as_deref().unwrap_or_default())
    }

    /// The same with the label that the API server gives to every namespace.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.labels.insert(NAME_LABEL.to_owned(), name.to_owned());
        self
    }
}

/// A Secret, as far as it can be a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretFacts {
    /// `tls.crt`, in the same wrapping, because people put keys there too.
    pub(crate) certificate: Option<PrivateKey>,
    /// `tls.key`.
    pub(crate) key: Option<PrivateKey>,
}

impl SecretFacts {
    pub(super) fn read(secret: &Secret) -> Self {
        let text = |name: &str| {
            let bytes = secret.data.as_ref()?.get(name)?;
            Some(PrivateKey::new(String::from_utf8_lossy(&bytes.0)))
        };
        Self { certificate: text("tls.crt"), key: text("tls.key") }
    }
}
