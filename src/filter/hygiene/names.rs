//! Names of fields that backends take for the word of the edge.

use http::{HeaderMap, HeaderName};

use crate::model::{CLAIMED_FIELDS, HOP_FIELD};

/// What frames a message, or names its host.
pub(super) const FRAMING: [&str; 3] = ["host", "content-length", "transfer-encoding"];

/// What the edge says about the client and its request.
pub(super) const OURS: [&str; 8] =
    ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-host", "x-real-ip", "x-request-id", HOP_FIELD];

/// How the names begin that proxies use among themselves.
const FAMILY: &str = "x-forwarded-";

/// Those of the fields above by which the edge frames or directs a request.
const READ: [&str; 4] = ["host", "content-length", "transfer-encoding", HOP_FIELD];

/// Takes out fields that WSGI and CGI cannot tell from ones that clients may not send: they read `X_Real_IP` and `X-Real-IP` as
/// `HTTP_X_REAL_IP`. Where a port keeps claims, those that read like framing go all the same.
pub fn drop_twins(headers: &mut HeaderMap, keeps_claims: bool) {
    let is_twin = |name: &&HeaderName| {
        if !name.as_str().contains('_') {
            return false;
        }
        let read = name.as_str().replace('_', "-");
        let claim = read.starts_with(FAMILY) || OURS.contains(&read.as_str()) || CLAIMED_FIELDS.contains(&read.as_str());
        READ.contains(&read.as_str()) || (claim && !keeps_claims)
    };
    let twins: Vec<HeaderName> = headers.keys().filter(is_twin).cloned().collect();
    for twin in twins {
        headers.remove(twin);
    }
}

/// Takes out what only a trusted proxy may say.
pub fn drop_claims(headers: &mut HeaderMap) {
    for name in CLAIMED_FIELDS {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{drop_claims, drop_twins};

    /// The names that are left of these.
    fn left(names: &[&'static str], drop: fn(&mut HeaderMap)) -> Vec<String> {
        let mut headers: HeaderMap = names.iter().map(|name| (name.parse().unwrap(), "1".parse().unwrap())).collect();
        drop(&mut headers);
        headers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn a_twin_of_a_guarded_name_goes_and_other_underscores_stay() {
        let twins = [
            "x_real_ip",
            "x_real-ip",
            "x-real_ip",
            "X_Forwarded_For",
            "x-forwarded_proto",
            "x_forwarded_user",
            "x_forwarded_client_cert",
            "x_original_url",
            "x_request_id",
            "x_kakehi_hop",
            "content_length",
            "transfer_encoding",
        ];
        assert_eq!(left(&twins, |headers| drop_twins(headers, false)), [] as [String; 0]);
        let others = ["x_user", "user_id", "x-real-ip", "x-forwarded-for", "content-length", "host", "x_real_ip2"];
        assert_eq!(left(&others, |headers| drop_twins(headers, false)), others);
        assert_eq!(
            left(&twins, |headers| drop_twins(headers, true)),
            twins[..9].iter().map(|name| name.to_lowercase()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn claims_go_and_what_the_edge_says_stays() {
        let claims = ["X-Forwarded-Prefix", "x-forwarded-client-cert", "x-original-url", "x-original-uri", "x-rewrite-url"];
        assert_eq!(left(&claims, drop_claims), [] as [String; 0]);
        let others = ["x-forwarded-for", "x-forwarded-proto", "x-real-ip", "x-original"];
        assert_eq!(left(&others, drop_claims), others);
    }
}
