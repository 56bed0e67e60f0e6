//! A trace for programs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Request, Trace};

/// Version of the page: it changes when a field changes its meaning or goes, not when one is added.
pub const VERSION: u32 = 1;

/// What becomes of a request on each edge that has its port, as JSON.
pub fn page(request: &Request, traces: &BTreeMap<String, Trace>) -> Value {
    json!({
        "version": VERSION,
        "request": {
            "method": request.method,
            "target": request.target,
            "host": request.host,
            "port": request.port,
            "protocol": super::text::scheme(request.protocol),
            "serverName": request.server_name,
        },
        "edges": traces,
    })
}
