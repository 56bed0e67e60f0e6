//! `HTTPRouteRetry`.

use crate::api::httproutes::HttpRouteRulesRetry;
use crate::model::Retry;
use crate::report::Issue;
use crate::translate::routes::parse;

/// How often a request is sent again where the rule does not say.
const ATTEMPTS: i64 = 1;

/// The pause in milliseconds where the rule does not say.
const BACKOFF: u64 = 25;

/// The policy of a rule.
pub(super) fn read(declared: &HttpRouteRulesRetry) -> Result<Retry, Issue> {
    let invalid = |field: &str, value: i64| Issue::InvalidValue { field: field.to_owned(), value: value.to_string() };
    let attempts = declared.attempts.unwrap_or(ATTEMPTS);
    let mut codes = Vec::new();
    for code in declared.codes.iter().flatten() {
        match u16::try_from(*code) {
            Ok(valid @ 400..600) => codes.push(valid),
            _ => return Err(invalid("retry.codes", *code)),
        }
    }
    codes.sort_unstable();
    codes.dedup();
    Ok(Retry {
        codes,
        attempts: u32::try_from(attempts).ok().filter(|attempts| *attempts > 0).ok_or_else(|| invalid("retry.attempts", attempts))?,
        backoff: declared.backoff.as_deref().map_or(Ok(BACKOFF), |text| parse::duration("retry.backoff", text))?,
    })
}
