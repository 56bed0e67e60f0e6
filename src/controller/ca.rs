//! The certificate authority of the snapshot stream, in a Secret that the leader makes and renews.

pub mod authority;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Error as KubeError;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::sleep;

use self::authority::{Authorities, AuthorityError, Lifetimes};
use crate::leader::{Leadership, NotLeading};
use crate::snapshot::tls::{Identity, IdentityError};

/// How often the Secret and the age of certificates are looked at.
const LOOK: Duration = Duration::from_secs(60);
/// Attempts when others write the Secret at the same time.
const ATTEMPTS: u32 = 5;

/// Keeps the authority, while this process leads.
pub struct Keeper {
    secrets: Api<Secret>,
    leadership: Leadership,
    name: String,
    /// Names of the server, as edges call it.
    names: Vec<String>,
    life: Lifetimes,
    /// The bundle of authorities in PEM, for the ConfigMap beside each edge.
    bundle: watch::Sender<String>,
    /// What signed the certificate that is shown, and when that is to be renewed.
    shown: Option<(Authorities, i64)>,
}

/// The authority cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The API server's.
    #[error("the Secret of the authority: {0}")]
    Api(#[from] KubeError),
    /// Others write it now.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// A certificate cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The TLS library does not take it.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Others write it all the time.
    #[error("the Secret of the authority is written by others all the time")]
    Contended,
}

impl Keeper {
    /// Keeps the authority in the Secret `name` for a server with these DNS names or addresses, and tells `bundle` whom to
    /// trust.
    pub fn new(
        (secrets, leadership): (Api<Secret>, Leadership),
        name: impl Into<String>,
        names: Vec<String>,
        bundle: watch::Sender<String>,
    ) -> Self {
        Self { secrets, leadership, name: name.into(), names, life: Lifetimes::default(), bundle, shown: None }
    }

    /// Reads or makes the authority, and certifies the server.
    ///
    /// # Errors
    /// Those of the API server, mainly.
    pub async fn open(&mut self) -> Result<Identity, CaError> {
        let now = now();
        let authorities = self.authorities(now).await?;
        let certified = authorities.server_certificate(&self.names, now, &self.life)?;
        let identity = Identity::new(&certified.chain, &certified.key)?;
        self.bundle.send_replace(authorities.bundle());
        self.shown = Some((authorities, certified.renew));
        Ok(identity)
    }

    /// Renews what [`Self::open`] gave, for ever. What cannot be renewed now is tried again; there is a third of its life
    /// left then.
    pub async fn keep(mut self, identity: Identity) {
        loop {
            sleep(LOOK).await;
            if let Err(error) = self.renew(&identity, now()).await {
                tracing::error!(%error, "the certificate authority cannot be renewed; trying again");
            }
        }
    }

    async fn renew(&mut self, identity: &Identity, now: i64) -> Result<(), CaError> {
        let authorities = self.authorities(now).await?;
        if self.shown.as_ref().is_some_and(|(shown, renew)| *shown == authorities && now < *renew) {
            return Ok(());
        }
        let certified = authorities.server_certificate(&self.names, now, &self.life)?;
        // Trusted before it is shown.
        self.bundle.send_replace(authorities.bundle());
        identity.replace(&certified.chain, &certified.key)?;
        tracing::info!(?authorities, "the server's certificate is renewed");
        self.shown = Some((authorities, certified.renew));
        Ok(())
    }

    /// The authorities as they are to be now, in the Secret before anybody sees them.
    async fn authorities(&self, now: i64) -> Result<Authorities, CaError> {
        for _ in 0..ATTEMPTS {
            let secret = self.secrets.get_opt(&self.name).await?;
            let (wanted, changed) = match secret.as_ref().map(|secret| Authorities::read(&text(secret))) {
                Some(Ok(held)) => held.at(now, &self.life)?,
                Some(Err(error)) => {
                    tracing::error!(secret = self.name, %error, "the Secret holds no authority; making a new one");
                    (Authorities::make(now, &self.life)?, true)
                }
                None => (Authorities::make(now, &self.life)?, true),
            };
            if !changed {
                return Ok(wanted);
            }
            self.leadership.check()?;
            let written = match secret {
                None => self.secrets.create(&PostParams::default(), &self.fresh(&wanted)).await,
                Some(mut secret) => {
                    // With the resourceVersion that was read: who wrote in between wins.
                    secret.data = Some(bytes(&wanted));
                    self.secrets.replace(&self.name, &PostParams::default(), &secret).await
                }
            };
            match written {
                Ok(_) => return Ok(wanted),
                Err(KubeError::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CaError::Contended)
    }

    fn fresh(&self, authorities: &Authorities) -> Secret {
        let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), "kakehi".to_owned())]);
        let metadata = ObjectMeta { name: Some(self.name.clone()), labels: Some(labels), ..Default::default() };
        Secret { metadata, data: Some(bytes(authorities)), type_: Some("Opaque".to_owned()), ..Default::default() }
    }
}

fn text(secret: &Secret) -> BTreeMap<String, String> {
    let data = secret.data.iter().flatten();
    data.filter_map(|(name, ByteString(bytes))| Some((name.clone(), String::from_utf8(bytes.clone()).ok()?))).collect()
}

fn bytes(authorities: &Authorities) -> BTreeMap<String, ByteString> {
    authorities.data().into_iter().map(|(name, text)| (name, ByteString(text.into_bytes()))).collect()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs().cast_signed()).unwrap_or_default()
}
