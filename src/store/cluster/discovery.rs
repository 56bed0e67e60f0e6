//! Which kinds the API server serves, and in which version.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::api::bundle::{Bundle, CHANNEL, VERSION};
use crate::model::Kind;
use crate::store::kinds::{GATEWAY_API, Origin, Row, table};

/// How often is looked for kinds that are not served yet.
const PERIOD: Duration = Duration::from_secs(3);
/// How often is looked for kinds that are not served any more.
const SLOW: Duration = Duration::from_secs(30);

/// The kinds that are served, each with the version of the table that is preferred; none before the first answer.
pub(super) type Served = Option<BTreeMap<Kind, &'static str>>;

/// The task that asks.
pub(super) struct Discovery {
    client: Client,
    /// Why it is not known which Gateway API is installed, as it was logged.
    ignorance: Option<String>,
}

impl Discovery {
    pub(super) fn new(client: Client) -> (Self, watch::Sender<Served>) {
        (Self { client, ignorance: None }, watch::Sender::new(None))
    }

    /// Asks until it is dropped.
    pub(super) async fn run(mut self, served: watch::Sender<Served>, bundle: watch::Sender<Option<Bundle>>) {
        let optional = optional();
        loop {
            self.look(&optional, &bundle).await;
            match ask(&self.client, &optional).await {
                Ok(found) => {
                    let all = optional.iter().all(|row| found.contains_key(&row.kind));
                    served.send_if_modified(|served| {
                        let differs = served.as_ref() != Some(&found);
                        *served = Some(found);
                        differs
                    });
                    sleep(if all { SLOW } else { PERIOD }).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot ask the API server for what it serves");
                    sleep(PERIOD).await;
                }
            }
        }
    }
}

impl Discovery {
    /// Looks which release of Gateway API is installed.
    async fn look(&mut self, rows: &[&'static Row], bundle: &watch::Sender<Option<Bundle>>) {
        let names: Vec<_> = rows.iter().filter(|row| row.group == GATEWAY_API).map(|row| format!("{}.{}", row.plural, row.group)).collect();
        let all: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let list = match all.list_metadata(&ListParams::default()).await {
            Ok(list) => list.items,
            Err(error) => {
                let error = error.to_string();
                if self.ignorance.as_ref() != Some(&error) {
                    tracing::warn!(error, "which Gateway API is installed is not known");
                }
                self.ignorance = Some(error);
                return;
            }
        };
        self.ignorance = None;
        let said = |key: &str| {
            let ours = list.iter().filter(|definition| names.contains(&definition.name_any()));
            ours.map(|definition| definition.annotations().get(key).cloned().unwrap_or_default()).collect()
        };
        let found = Bundle { versions: said(VERSION), channels: said(CHANNEL) };
        let found = Some(found).filter(|found| !found.versions.is_empty());
        bundle.send_if_modified(|known| {
            let differs = *known != found;
            *known = found;
            differs
        });
    }
}

/// The kinds of the table that are served now, each in the version that is preferred.
///
/// # Errors
/// Those of the API server.
pub async fn served(client: &Client) -> Result<BTreeMap<Kind, &'static str>, kube::Error> {
    let built_in = table().filter(|row| row.origin == Origin::BuiltIn);
    let mut found: BTreeMap<_, _> = built_in.filter_map(|row| Some((row.kind, *row.versions.first()?))).collect();
    found.extend(ask(client, &optional()).await?);
    Ok(found)
}

fn optional() -> Vec<&'static Row> {
    table().filter(|row| row.origin == Origin::Crd).collect()
}

async fn ask(client: &Client, rows: &[&'static Row]) -> Result<BTreeMap<Kind, &'static str>, kube::Error> {
    let groups: BTreeSet<_> = rows.iter().map(|row| row.group).collect();
    let present: BTreeSet<_> = client.list_api_groups().await?.groups.into_iter().map(|group| group.name).collect();
    let mut found = BTreeMap::new();
    for group in groups.into_iter().filter(|group| present.contains(*group)) {
        let versions: BTreeSet<_> = rows.iter().filter(|row| row.group == group).flat_map(|row| row.versions).collect();
        let mut resources = BTreeMap::new();
        for version in versions {
            match client.list_api_group_resources(&format!("{group}/{version}")).await {
                Ok(list) => drop(resources.insert(*version, list.resources)),
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        for row in rows.iter().filter(|row| row.group == group) {
            let serves = |version: &&&str| resources.get(**version).is_some_and(|list| list.iter().any(|one| one.name == row.plural));
            if let Some(version) = row.versions.iter().find(serves) {
                found.insert(row.kind, *version);
            }
        }
    }
    Ok(found)
}
