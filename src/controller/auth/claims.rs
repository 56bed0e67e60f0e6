//! What a token says of itself. Nothing of it is believed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

#[derive(Deserialize)]
struct Claims {
    exp: u64,
    aud: Audiences,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

/// How long a token for this audience is valid yet, by its own word; none if it is not, or no JSON Web Token.
pub(super) fn lifetime(token: &str, audience: &str) -> Option<Duration> {
    let mut parts = token.split('.');
    let (_header, payload, _signature, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let meant = match &claims.aud {
        Audiences::One(name) => name == audience,
        Audiences::Many(names) => names.iter().any(|name| name == audience),
    };
    let ends = UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))?;
    ends.duration_since(SystemTime::now()).ok().filter(|_| meant)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::lifetime;

    fn token(payload: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn only_what_might_be_valid_is_worth_a_question() {
        assert!(lifetime(&token(r#"{"exp":4000000000,"aud":["other","ours"]}"#), "ours").is_some());
        assert!(lifetime(&token(r#"{"exp":4000000000,"aud":"ours"}"#), "ours").is_some());
        let useless = [
            token(r#"{"exp":4000000000,"aud":["https://kubernetes.default.svc"]}"#),
            token(r#"{"exp":1000000000,"aud":["ours"]}"#),
            token(r#"{"aud":["ours"]}"#),
            token(r#"{"exp":18446744073709551615,"aud":"other"}"#),
            "a.b".to_owned(),
            "a.b.c.d".to_owned(),
            format!("{}.x", token(r#"{"exp":4000000000,"aud":"ours"}"#)),
            String::new(),
        ];
        for token in useless {
            assert!(lifetime(&token, "ours").is_none(), "{token}");
        }
    }
}
