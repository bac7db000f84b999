//! Names that a caller may have meant, for the error about a name that does not exist.
//!
//! Everybody can send such a name, so finding similar ones has to be cheap: what a name is compared by is prepared, most
//! names are ruled out by their letters, and the number of comparisons is limited.

/// The most names that an error suggests.
const MAX_SUGGESTIONS: usize = 3;
/// The longest name that is compared, in bytes.
const MAX_LEN: usize = 64;
/// The most names whose distance is computed, at about a microsecond each.
const MAX_COMPARED: usize = 64;

/// Names in which similar ones can be found.
#[derive(Debug, Default)]
pub(crate) struct SimilarNames(Vec<PreparedName>);

/// A name, and what it is compared by.
#[derive(Debug)]
struct PreparedName {
    name: Box<str>,
    /// In lower case, without what separates its words and parts.
    plain: String,
    letters: LetterSet,
}

impl PreparedName {
    fn new(name: &str) -> Self {
        let letters = name.chars().filter(|c| !matches!(c, '/' | '.' | '-' | '_'));
        let plain: String = letters.flat_map(char::to_lowercase).collect();
        Self { name: name.into(), letters: LetterSet::of(&plain), plain }
    }

    fn last_part(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }

    fn has_last_part(&self, part: &str) -> bool {
        self.name.strip_suffix(part).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    }
}

impl SimilarNames {
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self(names.map(PreparedName::new).collect())
    }

    /// Returns the names that are similar to `name`, the most similar first.
    pub(crate) fn find(&self, name: &str) -> Vec<&str> {
        if name.len() > MAX_LEN {
            return Vec::new();
        }
        let name = PreparedName::new(name);
        let mut compared = 0;
        let mut similar: Vec<_> = self
            .0
            .iter()
            .filter_map(|candidate| Some((distance(&name, candidate, &mut compared)?, &*candidate.name)))
            .collect();
        similar.sort_unstable();
        similar.truncate(MAX_SUGGESTIONS);
        similar.into_iter().map(|(_, candidate)| candidate).collect()
    }
}

/// How far a candidate is from `name`, or `None` if it is another name. Counts the comparisons.
fn distance(name: &PreparedName, candidate: &PreparedName, compared: &mut usize) -> Option<usize> {
    /// The shortest last part that says something about the whole name.
    const MIN_PART_LEN: usize = 3;
    if name.plain == candidate.plain {
        return Some(0);
    }
    let part = name.last_part();
    if part.len() >= MIN_PART_LEN && candidate.has_last_part(part) {
        return Some(1);
    }
    // One typo in a short name, more in a longer one.
    let max = (name.plain.len() / 4).clamp(1, 3);
    let may_be_similar = name.plain.len() >= 2
        && name.plain.len().abs_diff(candidate.plain.len()) <= max
        && name.letters.may_be_within(candidate.letters, max);
    if !may_be_similar || *compared == MAX_COMPARED {
        return None;
    }
    *compared += 1;
    Some(strsim::osa_distance(&name.plain, &candidate.plain)).filter(|distance| *distance <= max)
}

/// Which letters a name has, as bits: all others than those of ASCII are one.
#[derive(Debug, Clone, Copy)]
struct LetterSet(u64);

impl LetterSet {
    fn of(plain: &str) -> Self {
        let bit = |byte: u8| match byte {
            b'a'..=b'z' => byte - b'a',
            b'0'..=b'9' => 26 + byte - b'0',
            _ => 63,
        };
        Self(plain.bytes().fold(0, |set, byte| set | 1 << bit(byte)))
    }

    /// Whether names with these letters can be `max` typos apart. A typo removes one letter and adds one at most.
    fn may_be_within(self, other: Self, max: usize) -> bool {
        (self.0 ^ other.0).count_ones() as usize <= 2 * max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [&str; 8] =
        ["ping", "echo", "users/get", "users/get-all", "orders/get", "orders/watch", "shop/orders/get", "time"];

    #[test]
    fn names_with_a_typo_in_another_spelling_or_in_another_folder_are_similar() {
        for (name, expected) in [
            ("pong", &["ping"][..]),
            ("pign", &["ping"]),
            ("Echo", &["echo"]),
            ("user/get", &["orders/get", "shop/orders/get", "users/get"]),
            ("users.getAll", &["users/get-all"]),
            ("users/get_all", &["users/get-all"]),
            ("orders/wacth", &["orders/watch"]),
            ("watch", &["orders/watch"]),
            ("get", &["orders/get", "shop/orders/get", "users/get"]),
            ("nope", &[]),
            ("announce", &[]),
            ("", &[]),
            ("p", &[]),
            ("ab", &[]),
        ] {
            assert_eq!(SimilarNames::new(EVENTS.into_iter()).find(name), expected, "{name}");
        }
    }

    #[test]
    fn a_long_name_is_not_compared() {
        let long = "x".repeat(100);
        assert_eq!(SimilarNames::new([&*long].into_iter()).find(&long), [""; 0]);
    }

    #[test]
    fn no_name_that_the_letters_rule_out_is_similar() {
        // All names of two to four of these letters, against each other.
        let names: Vec<String> = (0..4_u32.pow(4))
            .map(|n| (0..2 + n % 3).map(|k| ['a', 'b', '7', 'ü'][((n >> (2 * k)) % 4) as usize]).collect())
            .collect();
        for name in names.iter().map(|name| PreparedName::new(name)) {
            for candidate in names.iter().map(|name| PreparedName::new(name)) {
                let distance = strsim::osa_distance(&name.plain, &candidate.plain);
                assert!(name.letters.may_be_within(candidate.letters, distance), "{name:?} {candidate:?}");
            }
        }
    }

    #[test]
    fn the_number_of_comparisons_is_limited() {
        let names: Vec<String> = (0..10_000).map(|n| format!("event{n:04}")).collect();
        let index = SimilarNames::new(names.iter().map(String::as_str));
        let mut compared = 0;
        let name = PreparedName::new("event00001");
        let found = index.0.iter().filter_map(|candidate| distance(&name, candidate, &mut compared)).count();
        assert_eq!(compared, MAX_COMPARED);
        assert!(found > 0);
    }
}
