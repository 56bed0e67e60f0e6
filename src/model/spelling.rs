//! What a misspelt word was meant to be.

/// Words longer than this are not compared.
const LONGEST: usize = 256;
/// Letters between the first and the last that differ, at most: the cost grows with the square of it.
const BETWEEN: usize = 16;

/// The word among `known` that `word` looks like a misspelling of: at most two letters differ, and most are the same.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > LONGEST {
        return None;
    }
    let lower = word.to_lowercase();
    let most = 2.min(word.chars().count() / 3);
    // A letter has one to four bytes; most words are told apart by their length.
    let known = known.into_iter().filter(|known| known.len() <= LONGEST && known.len().abs_diff(word.len()) <= 4 * most && *known != word);
    let near = known.filter_map(|known| Some((distance(&lower, &known.to_lowercase())?, known))).filter(|(distance, _)| *distance <= most);
    near.min().map(|(_, known)| known)
}

/// How many letters differ; none if those that do are far apart.
fn distance(one: &str, other: &str) -> Option<usize> {
    let alike = |one: &mut dyn Iterator<Item = char>, other: &mut dyn Iterator<Item = char>| {
        one.zip(other).take_while(|(one, other)| one == other).map(|(letter, _)| letter.len_utf8()).sum::<usize>()
    };
    let start = alike(&mut one.chars(), &mut other.chars());
    let (one, other) = (one.get(start..)?, other.get(start..)?);
    let end = alike(&mut one.chars().rev(), &mut other.chars().rev());
    let (one, other) = (one.get(..one.len() - end)?, other.get(..other.len() - end)?);
    (one.len().max(other.len()) <= BETWEEN).then(|| strsim::osa_distance(one, other))
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
        assert_eq!(nearest("weeb", ["web"]), Some("web"), "a letter that is there twice is alike from both ends");
        let long = "x".repeat(200);
        let [start, both] = [format!("a{long}c"), format!("b{long}d")];
        assert_eq!(nearest(&start, [format!("b{long}c").as_str()]).map(str::len), Some(202));
        assert_eq!(nearest(&start, [both.as_str()]), None, "far apart");
    }
}
