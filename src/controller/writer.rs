//! The leader's one way to write to the API server.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};

use super::finalizer::removal;
use super::pace::Pace;
use crate::api::Object;
use crate::leader::{Leadership, NotLeading};
use crate::report::Finding;
use crate::store::cluster::States;
use crate::store::kinds::{Scope, row};

/// Writes per second in the long run, and at once.
const RATE: (u32, u32) = (100, 200);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest `note` of an Event.
const NOTE: usize = 1024;
/// Longest part of an Event's name that comes from the object's.
const NAME: usize = 200;

/// A write that was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// This process does not lead (any more).
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// The kind is not served now.
    #[error("the API server does not serve {0}")]
    NotServed(crate::model::Kind),
    /// No answer in time.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    TimedOut,
    /// The API server's answer.
    #[error("{0}")]
    Api(#[from] kube::Error),
    /// The patch cannot be written as JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

impl WriteError {
    /// Every answer of [`WriteError::variant`], and what becomes of objects that somebody else has made under the name of ours.
    pub const VARIANTS: [&str; 13] = [
        "not-leading",
        "not-served",
        "timeout",
        "json",
        "forbidden",
        "gone",
        "conflict",
        "invalid",
        "throttled",
        "server",
        "api",
        "transport",
        "foreign",
    ];

    /// What failed, for metrics.
    pub fn variant(&self) -> &'static str {
        match self {
            Self::NotLeading(_) => "not-leading",
            Self::NotServed(_) => "not-served",
            Self::TimedOut => "timeout",
            Self::Json(_) => "json",
            Self::Api(error) => variant(error),
        }
    }
}

/// What failed, for metrics, of those of [`WriteError::VARIANTS`].
pub fn variant(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Api(status) => match status.code {
            403 => "forbidden",
            404 => "gone",
            409 => "conflict",
            422 => "invalid",
            429 => "throttled",
            500.. => "server",
            _ => "api",
        },
        _ => "transport",
    }
}

/// Writes to the API server, as long as this process leads, and not faster than it may.
pub struct Writer {
    client: Client,
    leadership: Leadership,
    states: watch::Receiver<States>,
    pace: Mutex<Pace>,
    controller_name: String,
    instance: String,
}

impl Writer {
    /// A writer for a replica, which Events name.
    pub fn new(client: Client, leadership: Leadership, states: watch::Receiver<States>, names: (String, String)) -> Self {
        let (controller_name, instance) = names;
        let pace = Mutex::new(Pace::new(Duration::from_secs(1) / RATE.0, RATE.1));
        Self { client, leadership, states, pace, controller_name, instance }
    }

    /// Whether this process leads.
    pub fn leads(&self) -> bool {
        self.leadership.epoch().is_some()
    }

    /// Replaces an object's status, when the object is still the one that was judged. Returns its new resourceVersion.
    ///
    /// # Errors
    /// A conflict when it has changed since.
    pub async fn status(&self, object: &Object, status: &Value) -> Result<Option<String>, WriteError> {
        let version = object.metadata().resource_version.clone().unwrap_or_default();
        let operations = serde_json::json!([
            {"op": "add", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/status", "value": status},
        ]);
        let (api, patch) = (self.api(object)?, Patch::Json::<()>(serde_json::from_value(operations)?));
        let name = object.id().name;
        let params = PatchParams { field_manager: Some(field_manager(&self.controller_name)), ..PatchParams::default() };
        let written = self.turn(api.patch_status(&name, &params, &patch)).await?;
        Ok(written.resource_version())
    }

    /// Whether the addresses that an Ingress shows were written by us.
    ///
    /// # Errors
    /// The API server's.
    pub async fn wrote_addresses(&self, object: &Object) -> Result<bool, WriteError> {
        let (api, name) = (self.api(object)?, object.id().name);
        let read = self.turn(api.get_metadata(&name)).await?;
        Ok(shows_addresses(&read.metadata, &field_manager(&self.controller_name)))
    }

    /// Adds a finalizer to an object in this version.
    ///
    /// # Errors
    /// A conflict when the object has changed since.
    pub async fn add_finalizer(&self, object: &Object, version: &str, name: &str) -> Result<(), WriteError> {
        let (path, value) = match object.metadata().finalizers.as_deref() {
            None | Some([]) => ("/metadata/finalizers", serde_json::json!([name])),
            Some(_) => ("/metadata/finalizers/-", serde_json::json!(name)),
        };
        let operations = serde_json::json!([
            {"op": "add", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": path, "value": value},
        ]);
        self.patch(object, operations).await
    }

    /// Removes a finalizer from its place in the object's list.
    ///
    /// # Errors
    /// When something else is in that place by now.
    pub async fn remove_finalizer(&self, object: &Object, index: usize, name: &str) -> Result<(), WriteError> {
        self.patch(object, removal(index, name)).await
    }

    async fn patch(&self, object: &Object, operations: Value) -> Result<(), WriteError> {
        let (api, patch) = (self.api(object)?, Patch::Json::<()>(serde_json::from_value(operations)?));
        let name = object.id().name;
        self.turn(api.patch(&name, &PatchParams::default(), &patch)).await.map(drop)
    }

    /// Tells whoever looks at an object of a problem of it.
    ///
    /// # Errors
    /// The API server's.
    pub async fn event(&self, object: &Object, finding: &Finding) -> Result<(), WriteError> {
        let (id, now) = (object.id(), Timestamp::now());
        let place = if id.namespace.is_empty() { "default" } else { &id.namespace };
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:x}", cut(&id.name, NAME), now.as_nanosecond())),
                namespace: Some(place.to_owned()),
                ..ObjectMeta::default()
            },
            regarding: Some(ObjectReference {
                api_version: Some(row(object.kind()).resource(self.version(object)?).api_version),
                kind: Some(id.kind.name().to_owned()),
                name: Some(id.name.clone()),
                namespace: (!id.namespace.is_empty()).then(|| id.namespace.clone()),
                uid: object.metadata().uid.clone(),
                resource_version: object.metadata().resource_version.clone(),
                field_path: None,
            }),
            type_: Some("Warning".into()),
            reason: Some(finding.issue.effect().reason.to_owned()),
            note: Some(cut(&finding.to_string(), NOTE).to_owned()),
            action: Some("Translate".into()),
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(self.controller_name.clone()),
            reporting_instance: Some(cut(&self.instance, 128).to_owned()),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), place);
        self.turn(api.create(&PostParams::default(), &event)).await.map(drop)
    }

    fn version(&self, object: &Object) -> Result<&'static str, WriteError> {
        let kind = object.kind();
        let watched = self.states.borrow().get(&kind).map(|watched| watched.version).unwrap_or_default();
        if watched.is_empty() { Err(WriteError::NotServed(kind)) } else { Ok(watched) }
    }

    fn api(&self, object: &Object) -> Result<Api<DynamicObject>, WriteError> {
        let row = row(object.kind());
        let resource = row.resource(self.version(object)?);
        let client = self.client.clone();
        Ok(match (row.scope, object.metadata().namespace.as_deref()) {
            (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client, namespace, &resource),
            _ => Api::all_with(client, &resource),
        })
    }

    /// Waits for a turn, and writes if this process still leads then.
    async fn turn<T>(&self, write: impl Future<Output = Result<T, kube::Error>>) -> Result<T, WriteError> {
        let wait = self.pace.lock().await.take(Instant::now());
        sleep(wait).await;
        self.leadership.check()?;
        Ok(timeout(PATIENCE, write).await.map_err(|_| WriteError::TimedOut)??)
    }
}

/// Who owns what a controller writes into statuses, for the API server. Longer names are refused.
pub fn field_manager(controller_name: &str) -> String {
    cut(controller_name, 128).to_owned()
}

/// Whether the addresses of an Ingress were written by a field manager.
pub(super) fn shows_addresses(metadata: &ObjectMeta, manager: &str) -> bool {
    let entries = metadata.managed_fields.iter().flatten();
    let mut ours = entries.filter(|entry| entry.manager.as_deref() == Some(manager) && entry.subresource.as_deref() == Some("status"));
    ours.any(|entry| entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:status/f:loadBalancer/f:ingress").is_some()))
}

/// The beginning of a text, at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}
