//! The end of an installation: nobody leads any more, no object waits for us, and the edges of IngressClasses are gone.
//!
//! A Gateway, a route or an Ingress stays when the operator is uninstalled, and so does the edge that a Gateway owns; our
//! finalizer must not, for nobody would ever remove it. An Ingress must not show an address at which nobody serves it.

mod clear;

use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, Resource};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::clear::Clearing;
use super::endpoint::slice_names;
use crate::leader::{self, Candidate, Lost};
use crate::translate::ownership::ClaimsPlace;

/// First and longest wait before everything is looked at again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Which installation ends.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the controller whose finalizers go.
    pub controller_name: String,
    /// Its Lease.
    pub leader: leader::Settings,
    /// The operator's Deployment, when it is to be scaled to nothing and to take along what the operator made for itself.
    pub deployment: Option<String>,
    /// The operator's Service, to which the leader's EndpointSlices belong.
    pub service: String,
    /// The Secret of its authority.
    pub ca_secret: String,
    /// Longest time for all of it.
    pub limit: Duration,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Objects that do not carry our finalizer any more.
    pub released: usize,
    /// Objects of edges that were deleted.
    pub deleted: usize,
    /// Ingresses that do not show addresses of ours any more.
    pub cleared: usize,
}

/// An installation cannot be ended.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// The operator still runs.
    #[error("{holder} holds the Lease {lease} and has not given it back within {limit:?}: stop the operator first")]
    Led {
        /// Who holds it.
        holder: String,
        /// The Lease.
        lease: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Somebody has taken the Lease back.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The API server does not do what it must.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Something is left.
    #[error("not done within {limit:?}; the last obstacle: {problem}")]
    Late {
        /// How long was tried.
        limit: Duration,
        /// What was in the way last.
        problem: Refused,
    },
}

/// One thing that the API server does not do.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {problem}")]
pub struct Refused {
    what: String,
    problem: String,
}

/// Ends an installation. Doing it again does what is left to do.
///
/// # Errors
/// When something is left at the end of the time.
pub async fn withdraw(client: Client, settings: Settings) -> Result<Withdrawn, WithdrawError> {
    let until = Instant::now() + settings.limit;
    let operator = match &settings.deployment {
        Some(name) => Some(silence(&client, &settings, name).await?),
        None => None,
    };
    let (candidate, mut leadership) = Candidate::new(client.clone(), settings.leader.clone());
    let work = async {
        if timeout_at(until, leadership.elected()).await.is_err() {
            return Err(led(&client, &settings).await);
        }
        let withdrawn = clear(&client, &settings, until).await?;
        if let Some(operator) = &operator {
            leave(&client, &settings, operator).await?;
        }
        Ok(withdrawn)
    };
    // The Lease is not given back: as long as others respect it, none of them begins again.
    tokio::select! {
        lost = candidate.run(std::future::pending()) => Err(lost.err().unwrap_or(Lost::Late).into()),
        done = work => done,
    }
}

/// Scales the operator to nothing, so that its leader gives the Lease back. Returns what owns the rest; none when there is
/// no such Deployment any more.
async fn silence(client: &Client, settings: &Settings, name: &str) -> Result<Option<OwnerReference>, Refused> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), &settings.leader.namespace);
    let what = format!("Deployment {name}");
    let Some(deployment) = answer(&what, api.get_opt(name)).await? else {
        tracing::info!(deployment = name, "is gone already");
        return Ok(None);
    };
    let nothing = Patch::Merge(json!({"spec": {"replicas": 0}}));
    answer(&what, api.patch_scale(name, &PatchParams::default(), &nothing)).await?;
    tracing::info!(deployment = name, "scaled to nothing");
    Ok(deployment.owner_ref(&()))
}

/// Who keeps the Lease from us.
async fn led(client: &Client, settings: &Settings) -> WithdrawError {
    let (namespace, name) = (&settings.leader.namespace, &settings.leader.name);
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let held = answer(&format!("Lease {name}"), api.get_opt(name)).await;
    let holder = match held {
        Ok(lease) => lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_else(|| "nobody".to_owned()),
        Err(refused) => return refused.into(),
    };
    WithdrawError::Led { holder, lease: format!("{namespace}/{name}"), limit: settings.limit }
}

/// Removes finalizers and edges until there are none. What is refused is tried again, and holds nothing else up.
async fn clear(client: &Client, settings: &Settings, until: Instant) -> Result<Withdrawn, WithdrawError> {
    let mut done = Withdrawn::default();
    let mut wait = BACKOFF.0;
    loop {
        let mut clearing = Clearing::new(client, settings);
        let looked = timeout_at(until, clearing.look()).await;
        done.released += clearing.done.released;
        done.deleted += clearing.done.deleted;
        done.cleared += clearing.done.cleared;
        let problem = match looked {
            Ok(Ok(())) => clearing.problem,
            Ok(Err(refused)) => Some(refused),
            Err(late) => Some(refused("all objects", &late)),
        };
        match problem {
            // Only a look that finds nothing is the last one.
            None if clearing.done == Withdrawn::default() => return Ok(done),
            None => {}
            Some(problem) if Instant::now() + wait >= until => {
                return Err(WithdrawError::Late { limit: settings.limit, problem });
            }
            Some(problem) => {
                tracing::warn!(%problem, ?wait, "not done; trying again");
                sleep(wait).await;
                wait = (wait * 2).min(BACKOFF.1);
            }
        }
    }
}

/// Has what the operator made for itself go with its Deployment, or deletes it when that is gone. So the Lease is there as
/// long as a replica can be.
async fn leave(client: &Client, settings: &Settings, owner: &Option<OwnerReference>) -> Result<(), Refused> {
    let namespace = &settings.leader.namespace;
    for name in slice_names(&settings.service) {
        leave_one::<EndpointSlice>(client, (namespace, &name), owner.as_ref()).await?;
    }
    forget_hosts(client, settings).await?;
    leave_one::<Secret>(client, (namespace, &settings.ca_secret), owner.as_ref()).await?;
    leave_one::<Lease>(client, (namespace, &settings.leader.name), owner.as_ref()).await
}

/// Deletes the claims of hosts: there is no edge left that they are about.
async fn forget_hosts(client: &Client, settings: &Settings) -> Result<(), Refused> {
    let place = ClaimsPlace::of(&settings.leader.namespace, &settings.leader.name);
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &place.namespace);
    let listed = answer("claims of hosts", api.list_metadata(&ListParams::default())).await?;
    for name in listed.items.into_iter().filter_map(|map| map.metadata.name) {
        if place.claimant(&place.namespace, &name).is_some() {
            let gone = async { api.delete(&name, &DeleteParams::default()).await.map(drop) };
            answer_if_there(&format!("ConfigMap {name}"), gone).await?;
        }
    }
    Ok(())
}

async fn leave_one<K>(client: &Client, (namespace, name): (&str, &str), owner: Option<&OwnerReference>) -> Result<(), Refused>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let done = async {
        match owner {
            Some(owner) => {
                let owned = Patch::Merge(json!({"metadata": {"ownerReferences": [owner]}}));
                api.patch_metadata(name, &PatchParams::default(), &owned).await.map(drop)
            }
            None => api.delete(name, &DeleteParams::default()).await.map(drop),
        }
    };
    answer_if_there(&format!("{} {name}", K::kind(&())), done).await
}

/// One request, with an end.
async fn answer<T>(what: &str, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Refused> {
    match timeout(PATIENCE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(refused(what, &error)),
        Err(late) => Err(refused(what, &late)),
    }
}

/// The same for a change to an object; one that is gone needs none.
async fn answer_if_there(what: &str, request: impl Future<Output = Result<(), kube::Error>>) -> Result<(), Refused> {
    let request = async {
        match request.await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            answer => answer,
        }
    };
    answer(what, request).await
}

fn refused(what: &str, problem: &dyn std::error::Error) -> Refused {
    Refused { what: what.to_owned(), problem: problem.to_string() }
}
