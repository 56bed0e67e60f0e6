//! What a misspelt word was meant to be.

/// Words longer than this are not compared: the cost grows with the square of the length.
const LONGEST: usize = 256;

/// The word among `known` that `word` looks like a misspelling of: at most two letters differ, and most are the same.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > LONGEST {
        return None;
    }
    let lower = word.to_lowercase();
    let most = 2.min(word.chars().count() / 3);
    let distance = |known: &str| strsim::osa_distance(&lower, &known.to_lowercase());
    // A letter has one to four bytes; most words are told apart by their length.
    let known = known.into_iter().filter(|known| known.len() <= LONGEST && known.len().abs_diff(word.len()) <= 4 * most && *known != word);
    let near = known.map(|known| (distance(known), known)).filter(|(distance, _)| *distance <= most);
    near.min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn one_or_two_wrong_letters_are_a_misspelling() {
        let fields = ["hostnames", "parentRefs", "rules", "useDefaultGateways"];
        for (word, meant) in [
            ("hostname", Some("hostnames")),
            ("parentrefs", Some("parentRefs")),
            ("parentRef", Some("parentRefs")),
            ("rule", Some("rules")),
            ("colour", None),
            ("rules", None),
            ("a", None),
        ] {
            assert_eq!(nearest(word, fields), meant, "{word}");
        }
        assert_eq!(nearest("wbe", ["web", "api"]), Some("web"), "two letters swapped are one mistake");
    }
}
