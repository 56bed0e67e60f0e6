//! One look at everything that is to go.

use futures::{StreamExt, stream};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, Preconditions};
use serde_json::json;

use super::{Refused, Settings, Withdrawn, answer, answer_if_there, refused};
use crate::controller::finalizer::{GATEWAY_EXISTS, of_controller, removal};
use crate::controller::writer::{field_manager, shows_addresses};
use crate::model::{EdgeId, Kind};
use crate::provision::{Part, names};
use crate::store::cluster::served;
use crate::store::kinds::{Finalizer, Row, Scope, row, table};

/// Objects of a list's page.
const PAGE: u32 = 500;
/// Writes at the same time.
const AT_ONCE: usize = 16;

/// What a look has found and done so far.
pub(super) struct Clearing<'a> {
    client: &'a Client,
    settings: &'a Settings,
    pub(super) done: Withdrawn,
    /// The last of what was refused.
    pub(super) problem: Option<Refused>,
}

impl<'a> Clearing<'a> {
    pub(super) fn new(client: &'a Client, settings: &'a Settings) -> Self {
        Self { client, settings, done: Withdrawn::default(), problem: None }
    }

    /// Looks at every kind that is served.
    pub(super) async fn look(&mut self) -> Result<(), Refused> {
        let served = answer("what the API server serves", served(self.client)).await?;
        for row in table().filter(|row| row.finalizer != Finalizer::Never) {
            if let Some(version) = served.get(&row.kind) {
                self.release(row, &row.resource(version)).await?;
            }
        }
        if let Some(version) = served.get(&Kind::Ingress) {
            self.hide(&row(Kind::Ingress).resource(version)).await?;
        }
        for part in Part::ALL.into_iter().rev() {
            self.delete(part).await?;
        }
        Ok(())
    }

    /// Takes the addresses that were written by us from all Ingresses. Those that somebody else has written since are his.
    async fn hide(&mut self, resource: &ApiResource) -> Result<(), Refused> {
        let manager = field_manager(&self.settings.controller_name);
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = answer(&resource.plural, api.list_metadata(&page)).await?;
            let shown = list.items.into_iter().map(|object| object.metadata).filter(|metadata| shows_addresses(metadata, &manager));
            let client = self.client;
            let hidden: Vec<_> =
                stream::iter(shown).map(|metadata| hide(client, resource, metadata)).buffer_unordered(AT_ONCE).collect().await;
            hidden.into_iter().for_each(|done| self.note(done, |done| done.cleared += 1));
            match list.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => page = page.continue_token(&next),
                None => return Ok(()),
            }
        }
    }

    fn note(&mut self, done: Result<(), Refused>, count: impl FnOnce(&mut Withdrawn)) {
        match done {
            Ok(()) => count(&mut self.done),
            Err(problem) => self.problem = Some(problem),
        }
    }

    /// Removes our finalizer from the objects of a kind.
    async fn release(&mut self, row: &Row, resource: &ApiResource) -> Result<(), Refused> {
        let ours = of_controller(&self.settings.controller_name);
        let name = if row.finalizer == Finalizer::InUse { GATEWAY_EXISTS } else { ours.as_str() };
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let (objects, next) = self.page(row, resource, &page).await?;
            let held = objects.into_iter().filter_map(|metadata| {
                let place = metadata.finalizers.iter().flatten().position(|finalizer| finalizer == name)?;
                Some((metadata, place))
            });
            let client = self.client;
            let released = stream::iter(held).map(|(metadata, place)| release(client, (row, resource), metadata, (place, name)));
            let released: Vec<_> = released.buffer_unordered(AT_ONCE).collect().await;
            released.into_iter().for_each(|done| self.note(done, |done| done.released += 1));
            match next.filter(|next| !next.is_empty()) {
                Some(next) => page = page.continue_token(&next),
                None => return Ok(()),
            }
        }
    }

    /// A page of the objects that may be ours, and where the next one begins.
    async fn page(&self, row: &Row, resource: &ApiResource, page: &ListParams) -> Result<(Vec<ObjectMeta>, Option<String>), Refused> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
        if row.finalizer == Finalizer::InUse {
            // The finalizer's name is everybody's; whose it is says the object.
            let list = answer(row.plural, api.list(page)).await?;
            let controller = |object: &DynamicObject| object.data.pointer("/spec/controllerName").cloned().unwrap_or_default();
            let ours = list.items.into_iter().filter(|object| controller(object) == self.settings.controller_name.as_str());
            return Ok((ours.map(|object| object.metadata).collect(), list.metadata.continue_));
        }
        let list = answer(row.plural, api.list_metadata(page)).await?;
        Ok((list.items.into_iter().map(|object| object.metadata).collect(), list.metadata.continue_))
    }

    /// Deletes what was made of a kind for edges in the operator's namespace: those of IngressClasses, whose owners do not go with
    /// the operator, and those of Gateways in other namespaces, which own nothing here.
    async fn delete(&mut self, part: Part) -> Result<(), Refused> {
        let resource = part.resource();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.settings.leader.namespace, &resource);
        let list = answer(&resource.plural, api.list_metadata(&ListParams::default().labels(names::EDGE))).await?;
        let controller = &self.settings.controller_name;
        let is_ours = |metadata: &ObjectMeta| {
            let edge = metadata.annotations.as_ref().and_then(|annotations| names::edge_of(annotations, controller));
            let stays = |edge: &EdgeId| edge.kind() == Kind::Gateway && edge.namespace == self.settings.leader.namespace;
            metadata.deletion_timestamp.is_none() && edge.is_some_and(|edge| !stays(&edge))
        };
        for metadata in list.items.into_iter().map(|object| object.metadata).filter(is_ours) {
            let name = metadata.name.unwrap_or_default();
            let only = Preconditions { uid: metadata.uid, resource_version: None };
            let params = DeleteParams { preconditions: Some(only), ..DeleteParams::background() };
            let what = format!("{} {name}", resource.kind);
            let deleted = answer_if_there(&what, async { api.delete(&name, &params).await.map(drop) }).await;
            self.note(deleted, |done| done.deleted += 1);
        }
        Ok(())
    }
}

async fn hide(client: &Client, resource: &ApiResource, metadata: ObjectMeta) -> Result<(), Refused> {
    let (name, namespace) = (metadata.name.unwrap_or_default(), metadata.namespace.unwrap_or_default());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, resource);
    let what = format!("status of {} {namespace}/{name}", resource.kind);
    let operations = json!([
        {"op": "add", "path": "/metadata/resourceVersion", "value": metadata.resource_version},
        {"op": "replace", "path": "/status/loadBalancer", "value": {}},
    ]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(operations).map_err(|error| refused(&what, &error))?);
    answer_if_there(&what, async { api.patch_status(&name, &PatchParams::default(), &patch).await.map(drop) }).await?;
    tracing::debug!(object = what, "cleared");
    Ok(())
}

async fn release(
    client: &Client,
    (row, resource): (&Row, &ApiResource),
    metadata: ObjectMeta,
    (place, finalizer): (usize, &str),
) -> Result<(), Refused> {
    let (name, namespace) = (metadata.name.unwrap_or_default(), metadata.namespace.unwrap_or_default());
    let api: Api<DynamicObject> = match row.scope {
        Scope::Namespaced => Api::namespaced_with(client.clone(), &namespace, resource),
        Scope::Cluster => Api::all_with(client.clone(), resource),
    };
    let what = format!("{} {namespace}/{name}", row.kind);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(removal(place, finalizer)).map_err(|error| refused(&what, &error))?);
    answer_if_there(&what, async { api.patch_metadata(&name, &PatchParams::default(), &patch).await.map(drop) }).await?;
    tracing::debug!(object = what, finalizer, "let go");
    Ok(())
}
