//! `HTTPRouteTimeouts`.

use crate::api::httproutes::HttpRouteRulesTimeouts;
use crate::model::Timeouts;
use crate::report::Issue;
use crate::translate::routes::parse;

/// The bounds of a rule. The time for one backend request is part of the time for the whole.
pub(super) fn read(declared: &HttpRouteRulesTimeouts) -> Result<Timeouts, Issue> {
    let bound = |field, text: &Option<String>| text.as_deref().map(|text| parse::duration(field, text)).transpose();
    let request = bound("timeouts.request", &declared.request)?;
    let backend = bound("timeouts.backendRequest", &declared.backend_request)?;
    match (request, backend) {
        (Some(request @ 1..), Some(backend)) if backend > request => {
            let value = declared.backend_request.clone().unwrap_or_default();
            Err(Issue::InvalidValue { field: "timeouts.backendRequest".into(), value })
        }
        _ => Ok(Timeouts { request, backend }),
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::api::httproutes::HttpRouteRulesTimeouts;
    use crate::model::Timeouts;

    #[test]
    fn the_part_is_no_longer_than_the_whole() {
        let read = |request: &str, backend: &str| {
            read(&HttpRouteRulesTimeouts { request: Some(request.into()), backend_request: Some(backend.into()) })
        };
        assert_eq!(read("2s", "1s"), Ok(Timeouts { request: Some(2_000), backend: Some(1_000) }));
        assert_eq!(read("0s", "1h"), Ok(Timeouts { request: Some(0), backend: Some(3_600_000) }));
        assert!(read("1s", "1001ms").is_err() && read("soon", "1s").is_err());
    }
}
