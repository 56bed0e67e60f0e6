//! What an edge logs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EdgeProfileSpec, Variable};
use crate::model::{ACCESS_LOG, ACCESS_LOG_FIELDS, LOG, SOZU_LOG};

/// The access log of an edge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessLogProfile {
    /// How lines look. Default: Off.
    pub format: Option<AccessLogFormat>,
    /// Fields of a line, which are written in the order of `docs/operations.md`. Default: all but query, which may hold secrets, and requestId.
    #[schemars(length(min = 1, max = 32))]
    pub fields: Option<Vec<AccessLogField>>,
}

/// How lines of an access log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessLogFormat {
    /// There are none.
    #[default]
    Off,
    /// One JSON object a line.
    #[serde(rename = "JSON")]
    Json,
    /// Words of the form name=value.
    Text,
}

/// A field of a line of an access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "docs/operations.md says what each is")]
pub enum AccessLogField {
    Time,
    Edge,
    Stage,
    Client,
    Method,
    Scheme,
    Host,
    Path,
    Query,
    Status,
    Milliseconds,
    BytesIn,
    BytesOut,
    Route,
    Backend,
    UserAgent,
    RequestId,
}

/// What the processes of an edge log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogProfile {
    /// Supervisor, filter proxy and launcher: a level, or levels per module as in info,kakehi::edge=debug. Default: that of the
    /// installation.
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^([A-Za-z0-9_:]+=)?(error|warn|info|debug|trace|off)(,([A-Za-z0-9_:]+=)?(error|warn|info|debug|trace|off))*$")
    )]
    pub edge: Option<String>,
    /// Sōzu. Default: that of the installation.
    pub sozu: Option<SozuLogLevel>,
}

/// A level of Sōzu's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SozuLogLevel {
    /// What went wrong.
    Error,
    /// What may go wrong.
    Warn,
    /// What happens.
    Info,
    /// How it happens.
    Debug,
    /// Everything, with bytes of requests.
    Trace,
}

over! { AccessLogProfile { format, fields } }
over! { LogProfile { edge, sozu } }

/// What the processes of an edge are told of it.
pub(super) fn variables(profile: &EdgeProfileSpec) -> impl Iterator<Item = Variable> {
    let (access, log) = (profile.access_log.clone().unwrap_or_default(), profile.log.clone().unwrap_or_default());
    let format = access.format.map(|format| written(&format).to_lowercase());
    let fields = access.fields.map(|fields| fields.iter().map(written).collect::<Vec<_>>().join(","));
    let sozu = log.sozu.map(|level| written(&level).to_lowercase());
    let given = [(ACCESS_LOG, format), (ACCESS_LOG_FIELDS, fields), (LOG, log.edge), (SOZU_LOG, sozu)];
    given.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

/// A name as it is written in a profile.
fn written(name: &impl Serialize) -> String {
    serde_json::to_value(name).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
