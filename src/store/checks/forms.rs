//! Forms: what names and values look like, as predicates with the words to say so.

use std::net::IpAddr;

/// A condition on a text.
pub struct Form {
    /// The condition.
    pub holds: fn(&str) -> bool,
    /// What to say when it does not hold.
    pub message: &'static str,
}

/// No condition.
pub static ANY: Form = Form { holds: |_| true, message: "" };

/// RFC 1123 label: one part of a DNS name.
pub static LABEL: Form = Form {
    holds: is_label,
    message: "must consist of lower-case letters, digits and '-', and start and end with a letter or digit (at most 63 characters)",
};

/// RFC 1123 subdomain: labels, of any length, with dots between.
pub static SUBDOMAIN: Form = Form {
    holds: is_subdomain,
    message: "must consist of lower-case letters, digits, '-' and '.', and each part must start and end with a letter or digit",
};

/// RFC 1035 label: the name of a Service.
pub static SERVICE_NAME: Form = Form {
    holds: |text| is_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase()),
    message: "must consist of lower-case letters, digits and '-', start with a letter and end with a letter or digit (at most 63 characters)",
};

/// Levels of a log: one, or one for each of some modules.
pub static LEVELS: Form = Form {
    holds: |text| {
        text.split(',').all(|part| {
            let (module, level) = part.rsplit_once('=').map_or((None, part), |(module, level)| (Some(module), level));
            let named =
                |module: &str| !module.is_empty() && module.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'));
            ["error", "warn", "info", "debug", "trace", "off"].contains(&level) && module.is_none_or(named)
        })
    },
    message: "must be error, warn, info, debug, trace or off, also per module as in info,kakehi::edge=debug",
};

/// A hostname, possibly with a wildcard as its first label.
pub static HOSTNAME: Form = Form {
    holds: |text| is_subdomain(text.strip_prefix("*.").unwrap_or(text)),
    message: "must be a lower-case DNS name, optionally with \"*.\" in front; no port, no address in brackets, no trailing dot",
};

/// A hostname without wildcard.
pub static PRECISE_HOSTNAME: Form =
    Form { holds: is_subdomain, message: "must be a lower-case DNS name without wildcard, port or trailing dot" };

/// An API group; empty for core.
pub static GROUP: Form = Form {
    holds: |text| text.is_empty() || is_subdomain(text),
    message: "must be empty or an API group such as gateway.networking.k8s.io",
};

/// The name of a kind.
pub static KIND: Form = Form {
    holds: |text| is_word(text, |c| c.is_ascii_alphanumeric(), '-') && text.starts_with(|first: char| first.is_ascii_alphabetic()),
    message: "must consist of letters, digits and '-', start with a letter and end with a letter or digit",
};

/// The name of a header or query parameter.
pub static HEADER_NAME: Form =
    Form { holds: |text| !text.is_empty() && text.bytes().all(is_token), message: "must consist of letters, digits and !#$%&'*+-.^_`|~" };

/// The value of a header: visible ASCII, with single spaces or tabs only between.
pub static HEADER_VALUE: Form = Form {
    holds: |text| {
        let visible = |byte: u8| (b'!'..=b'~').contains(&byte);
        let blank = |byte: u8| byte == b' ' || byte == b'\t';
        let bytes = text.as_bytes();
        bytes.iter().all(|byte| visible(*byte) || blank(*byte))
            && bytes.first().is_some_and(|first| visible(*first))
            && bytes.last().is_some_and(|last| visible(*last))
            && !bytes.windows(2).any(|pair| pair.iter().all(|byte| blank(*byte)))
    },
    message: "must be visible ASCII characters, with single spaces or tabs only between them (no line breaks)",
};

/// What looks like an IP address.
pub static IP: Form = Form {
    holds: |text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)),
    message: "must be an IP address such as 198.51.100.7 or 2001:db8::7",
};

/// A network: an address, a slash, and the number of bits that count.
pub static NETWORK: Form = Form {
    holds: |text| {
        let address = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
        let bits = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.split_once('/').is_some_and(|(network, length)| address(network) && bits(length))
    },
    message: "must be a network such as 10.0.0.0/8 or fd00::/8",
};

/// `1h30m`, `500ms`: up to four whole numbers of at most five digits, each with a unit (GEP-2257).
pub static DURATION: Form = Form {
    holds: |text| duration(text).is_some(),
    message: "must be a duration such as 500ms, 30s or 1h30m: up to four whole numbers with h, m, s or ms",
};

/// A name that belongs to somebody: a domain, a slash, and a path.
pub static DOMAIN_PREFIXED: Form = Form {
    holds: |text| {
        text.split_once('/').is_some_and(|(domain, path)| is_subdomain(domain) && !path.is_empty() && path.bytes().all(is_domain_path))
    },
    message: "must be a domain-prefixed path such as example.com/controller",
};

/// A protocol: a plain word, or a word of somebody's own. Before the slash only the last character is looked at: the
/// released pattern is not anchored, and nothing is refused here that a cluster accepts.
pub static PROTOCOL: Form = Form {
    holds: |text| match text.rsplit_once('/') {
        None => is_word(text, |c| c.is_ascii_alphanumeric(), '-'),
        Some((domain, name)) => ends_like_domain(domain) && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
    },
    message: "must be HTTP, HTTPS, TLS, TCP, UDP or domain-prefixed such as example.com/protocol",
};

/// The type of an address. As loose as the released pattern, see [`PROTOCOL`].
pub static ADDRESS_TYPE: Form = Form {
    holds: |text| {
        let names_one = text.starts_with("Hostname") || text.contains("IPAddress") || text.contains("NamedAddress");
        let prefixed = |(at, _)| {
            let (domain, path) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
            ends_like_domain(domain) && !path.is_empty() && path.bytes().all(is_domain_path)
        };
        names_one || text.match_indices('/').any(prefixed)
    },
    message: "must be IPAddress, Hostname, NamedAddress or domain-prefixed such as example.com/pool",
};

/// The key of a label or annotation.
pub static QUALIFIED_NAME: Form = Form {
    holds: |text| match text.split_once('/') {
        None => is_qualified_part(text),
        Some((prefix, name)) => prefix.len() <= 253 && is_subdomain(prefix) && is_qualified_part(name),
    },
    message: "must be a name of at most 63 letters, digits, '-', '_' and '.', starting and ending with a letter or digit, optionally after a DNS name and '/'",
};

/// The key of an annotation: the same, and case does not matter in the DNS name either.
pub static ANNOTATION_KEY: Form =
    Form { holds: |text| (QUALIFIED_NAME.holds)(&text.to_ascii_lowercase()), message: QUALIFIED_NAME.message };

/// The value of a label.
pub static LABEL_VALUE: Form = Form {
    holds: |text| text.is_empty() || is_qualified_part(text),
    message: "must be empty or at most 63 letters, digits, '-', '_' and '.', starting and ending with a letter or digit",
};

/// A key of a ConfigMap or Secret.
pub static DATA_KEY: Form = Form {
    holds: |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        !text.is_empty() && text.len() <= 253 && text.bytes().all(allowed) && text != "." && text != ".." && !text.starts_with("..")
    },
    message: "must be at most 253 letters, digits, '-', '_' and '.', and not start with \"..\"",
};

/// A name that can stand in a URL as one segment of its path.
pub static PATH_SEGMENT: Form = Form {
    holds: |text| !text.contains(['/', '%']) && text != "." && text != "..",
    message: "may not be '.' or '..', and not contain '/' or '%'",
};

/// The name of a port: a service name (RFC 6335).
pub static PORT_NAME: Form = Form {
    holds: |text| text.len() <= 15 && is_label(text) && text.bytes().any(|byte| byte.is_ascii_lowercase()) && !text.contains("--"),
    message: "must be at most 15 lower-case letters, digits and '-', with a letter, no \"--\", and no '-' at the ends",
};

/// Characters of a path (RFC 3986), percent-encoded octets included.
pub fn is_path(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let allowed = match byte {
            b'%' => [bytes.next(), bytes.next()].iter().all(|byte| byte.is_some_and(|byte| byte.is_ascii_hexdigit())),
            byte => byte.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(&byte),
        };
        if !allowed {
            return false;
        }
    }
    !text.is_empty()
}

/// The milliseconds of a GEP-2257 duration.
pub fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest.get(..digits).filter(|_| (1..=5).contains(&digits))?.parse().ok()?;
        rest = rest.get(digits..)?;
        let (unit, factor) =
            [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)].into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        total += number * factor;
        rest = rest.strip_prefix(unit)?;
        if rest.is_empty() {
            return Some(total);
        }
    }
    None
}

/// An IP address in its usual form, without zone.
pub fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_word(text, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), '-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|part| is_word(part, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), '-'))
}

fn is_qualified_part(text: &str) -> bool {
    text.len() <= 63 && is_word(&text.replace(['_', '.'], "-"), |c| c.is_ascii_alphanumeric(), '-')
}

/// Letters as `letter` says, and `inner` anywhere but at the ends.
fn is_word(text: &str, letter: impl Fn(char) -> bool, inner: char) -> bool {
    !text.is_empty() && text.chars().all(|c| letter(c) || c == inner) && !text.starts_with(inner) && !text.ends_with(inner)
}

fn ends_like_domain(text: &str) -> bool {
    text.ends_with(|last: char| last.is_ascii_lowercase() || last.is_ascii_digit())
}

fn is_domain_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::{DOMAIN_PREFIXED, Form, HEADER_VALUE, HOSTNAME, PORT_NAME, QUALIFIED_NAME, duration, is_path};

    fn check(form: &Form, good: &[&str], bad: &[&str]) {
        good.iter().for_each(|text| assert!((form.holds)(text), "{text:?}"));
        bad.iter().for_each(|text| assert!(!(form.holds)(text), "{text:?}"));
    }

    #[test]
    fn forms_tell_good_from_bad() {
        check(&HOSTNAME, &["a", "*.a.b", "a-b.c", "1.2.3.4"], &["", "*", "*.", "A.b", "a.", "a..b", "-a", "a:80", "a.*.b"]);
        check(&HEADER_VALUE, &["a", "a b\tc", "$"], &["", " a", "a ", "a  b", "a\r\nb", "a\nb", "é", "a\u{7f}"]);
        check(&DOMAIN_PREFIXED, &["a.b/c", "a/c/d"], &["a", "/a", "a/", "A/b", "a/b c"]);
        check(&QUALIFIED_NAME, &["a", "A_b.c", "x.y/z"], &["", "/a", "a/", "a/b/c", "-a", "a_"]);
        check(&PORT_NAME, &["http", "a-1"], &["80", "a--b", "-a", "http-", "HTTP", "averyveryverylong"]);
    }

    #[test]
    fn durations_and_paths() {
        assert_eq!(duration("1h30m5s7ms"), Some(5_405_007));
        assert_eq!(duration("0s"), Some(0));
        for bad in ["", "1", "s", "1.5s", "123456s", "1h1h1h1h1h", "-1s", "1 s", "1us"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert!(is_path("/a%2Fb;c=@:") && !is_path("/a%2") && !is_path("/a b") && !is_path("/é") && !is_path("/a?b") && !is_path(""));
    }
}
