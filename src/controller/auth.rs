//! Who may read an edge's snapshot: the live pods of that edge's Deployment or DaemonSet, by their projected ServiceAccount tokens.
//!
//! Either is the edge's when it carries the uid of the edge's Gateway or IngressClass, in the edge's namespace. That
//! namespace is the boundary of trust: who may create either there can make an edge of it.

mod claims;
mod owned;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error as KubeError, ResourceExt};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use self::owned::get;
pub use self::owned::is_of;
use self::verdicts::Verdicts;
use crate::model::EdgeId;
use crate::snapshot::serve::{Admit, Admitted};
use crate::snapshot::wire::{Hello, Refused};

/// Audience of the tokens.
pub const AUDIENCE: &str = "kakehi-snapshot";
/// A verdict holds for so long at most, then the API server is asked again.
const HOLDS: Duration = Duration::from_secs(600);
/// The same for a refusal.
const REFUSAL_HOLDS: Duration = Duration::from_secs(5);
/// Verdicts kept at once.
const KEPT: usize = 10_000;
/// Questions to the API server at once.
const REVIEWS: usize = 8;

/// The Deployment or DaemonSet that runs an edge.
#[derive(Clone)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether one there was made for this very Gateway or IngressClass.
    pub is_made: Arc<dyn Fn(&ObjectMeta) -> bool + Send + Sync>,
}

/// Asks the API server about tokens.
pub struct TokenReviewer<F> {
    client: Client,
    workload: F,
    verdicts: Mutex<Verdicts>,
    reviews: Semaphore,
}

/// The edge that a text names and what runs it, if there is such an edge.
pub trait Workloads: Send + Sync + 'static {
    /// Finds them.
    fn find(&self, edge: &str) -> Option<(EdgeId, Workload)>;
}

impl<F: Fn(&str) -> Option<(EdgeId, Workload)> + Send + Sync + 'static> Workloads for F {
    fn find(&self, edge: &str) -> Option<(EdgeId, Workload)> {
        self(edge)
    }
}

/// Why there is no verdict in favour.
#[derive(Debug, thiserror::Error)]
enum Doubt {
    /// The token, or who shows it.
    #[error("{0}")]
    Refused(&'static str),
    /// Nobody can tell now.
    #[error("the API server cannot be asked: {0}")]
    Api(#[from] KubeError),
}

impl<W: Workloads> TokenReviewer<W> {
    /// Admits the pods of these workloads.
    pub fn new(client: Client, workload: W) -> Self {
        Self { client, workload, verdicts: Mutex::new(Verdicts::new(KEPT)), reviews: Semaphore::new(REVIEWS) }
    }

    async fn judge(&self, hello: &Hello) -> Result<Admitted, Doubt> {
        // Costs nothing and proves nothing: it only spares the API server what it would refuse.
        let left = claims::lifetime(&hello.token.0, AUDIENCE).ok_or(Doubt::Refused("no token for snapshots, or expired"))?;
        let (edge, workload) = self.workload.find(&hello.edge).ok_or(Doubt::Refused("there is no such edge"))?;
        let _turn = self.reviews.acquire().await.map_err(|_| Doubt::Refused("ending"))?;
        let user = self.review(&hello.token.0).await?;
        let pod = self.pod(&user).await?;
        if pod.namespace().as_deref() != Some(&workload.namespace) {
            return Err(Doubt::Refused("the token is of a pod in another namespace"));
        }
        if !is_of(&self.client, &pod, &workload).await? {
            return Err(Doubt::Refused("the pod is not of the edge's Deployment or DaemonSet"));
        }
        let until = Instant::now() + left.min(HOLDS.mul_f64(rand::random_range(0.75..1.0)));
        Ok(Admitted { edge, node: pod.name_any(), until })
    }

    /// Whom the API server takes the token for.
    async fn review(&self, token: &str) -> Result<UserInfo, Doubt> {
        let spec = TokenReviewSpec { audiences: Some(vec![AUDIENCE.to_owned()]), token: Some(token.to_owned()) };
        let review = TokenReview { metadata: ObjectMeta::default(), spec, status: None };
        let reviews = Api::<TokenReview>::all(self.client.clone());
        let status = reviews.create(&PostParams::default(), &review).await?.status.unwrap_or_default();
        // An API server that does not know audiences names none: its yes says nothing.
        let ours = status.audiences.iter().flatten().any(|audience| audience == AUDIENCE);
        match status.user {
            Some(user) if status.authenticated == Some(true) && ours => Ok(user),
            _ => Err(Doubt::Refused("the token is not valid")),
        }
    }

    /// The live pod that the token is bound to.
    async fn pod(&self, user: &UserInfo) -> Result<Pod, Doubt> {
        let namespace = user.username.as_deref().and_then(|name| name.strip_prefix("system:serviceaccount:"));
        let namespace = namespace.and_then(|rest| rest.split_once(':')).map(|(namespace, _)| namespace);
        let extra = |key: &str| user.extra.as_ref()?.get(key)?.first();
        let bound = (namespace, extra("authentication.kubernetes.io/pod-name"), extra("authentication.kubernetes.io/pod-uid"));
        let (Some(namespace), Some(name), Some(uid)) = bound else {
            return Err(Doubt::Refused("the token is bound to no pod"));
        };
        let pod = get::<Pod>(&self.client, namespace, name).await?.filter(|pod| pod.uid().as_ref() == Some(uid));
        let pod = pod.ok_or(Doubt::Refused("the pod is gone"))?;
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed")) {
            return Err(Doubt::Refused("the pod has ended"));
        }
        Ok(pod)
    }
}

impl<W: Workloads> Admit for TokenReviewer<W> {
    async fn admit(&self, hello: &Hello) -> Result<Admitted, Refused> {
        let key = verdicts::key(hello);
        if let Some(verdict) = self.verdicts.lock().await.get(&key) {
            return verdict;
        }
        let (verdict, until) = match self.judge(hello).await {
            Ok(admitted) => (Ok(admitted.clone()), admitted.until),
            Err(doubt) => {
                let refused = Refused { refused: doubt.to_string() };
                if let Doubt::Api(error) = doubt {
                    tracing::warn!(%error, edge = hello.edge, "a token cannot be reviewed");
                    // Nobody has decided anything: the next hello asks again.
                    return Err(Refused { refused: "the token cannot be reviewed now".to_owned() });
                }
                (Err(refused), Instant::now() + REFUSAL_HOLDS)
            }
        };
        self.verdicts.lock().await.put(key, verdict.clone(), until);
        verdict
    }
}
