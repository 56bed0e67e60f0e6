//! Query parameters, decoded as forms are (`application/x-www-form-urlencoded`).

use std::borrow::Cow;

/// The decoded value of the first parameter called `name`; an empty value when it has none.
pub fn first<'a>(query: &'a str, name: &[u8]) -> Option<Cow<'a, [u8]>> {
    query.split('&').filter(|pair| !pair.is_empty()).find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (*decode(key) == *name).then(|| decode(value))
    })
}

/// `+` is a space, `%XX` a byte; what is no escape stays.
fn decode(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => decoded.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = after;
                }
                _ => decoded.push(b'%'),
            },
            (other, _) => decoded.push(other),
        }
    }
    Cow::Owned(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::first;

    #[test]
    fn the_first_parameter_of_the_name_counts_after_decoding() {
        let query = "a=1&&b=x+y%2Bz&a=2&c&%64=%zz%4&=e";
        let value = |name: &str| first(query, name.as_bytes()).map(|value| String::from_utf8(value.into_owned()).unwrap());
        assert_eq!(value("a").as_deref(), Some("1"));
        assert_eq!(value("b").as_deref(), Some("x y+z"));
        assert_eq!(value("c").as_deref(), Some(""));
        assert_eq!(value("d").as_deref(), Some("%zz%4"));
        assert_eq!(value("").as_deref(), Some("e"));
        assert_eq!(value("A"), None);
        assert_eq!(first("", b""), None);
    }
}
