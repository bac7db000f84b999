//! Names that a caller may have meant, for the error about a name that does not exist.

/// The most names that an error suggests.
const MAX_SUGGESTIONS: usize = 3;
/// The longest name that is compared, in bytes. It bounds what a caller can make the server compute.
const MAX_LEN: usize = 64;

/// Returns the candidates that are similar to `name`, the most similar first.
pub(crate) fn similar_names<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    if name.len() > MAX_LEN {
        return Vec::new();
    }
    let mut similar: Vec<_> =
        candidates.filter_map(|candidate| Some((distance(name, candidate)?, candidate))).collect();
    similar.sort_unstable();
    similar.truncate(MAX_SUGGESTIONS);
    similar.into_iter().map(|(_, candidate)| candidate).collect()
}

/// How far a candidate is from `name`, or `None` if it is another name.
fn distance(name: &str, candidate: &str) -> Option<usize> {
    /// The shortest last part that says something about the whole name.
    const MIN_PART_LEN: usize = 3;
    let (plain, candidate_plain) = (without_separators(name), without_separators(candidate));
    if plain == candidate_plain {
        return Some(0);
    }
    let part = last_part(name);
    if part.len() >= MIN_PART_LEN && part == last_part(candidate) {
        return Some(1);
    }
    // One typo in a short name, more in a longer one.
    let max = (plain.len() / 4).clamp(1, 3);
    if plain.len() < 2 || plain.len().abs_diff(candidate_plain.len()) > max {
        return None;
    }
    Some(strsim::osa_distance(&plain, &candidate_plain)).filter(|distance| *distance <= max)
}

/// The name in lower case, without what separates its words and parts.
fn without_separators(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '/' | '.' | '-' | '_')).flat_map(char::to_lowercase).collect()
}

fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
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
            assert_eq!(similar_names(name, EVENTS.into_iter()), expected, "{name}");
        }
    }

    #[test]
    fn a_long_name_is_not_compared() {
        let long = "x".repeat(100);
        assert_eq!(similar_names(&long, [&*long].into_iter()), [""; 0]);
    }
}
