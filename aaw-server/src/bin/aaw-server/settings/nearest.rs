//! The known name that is nearest to an unknown one, for the error about it.

/// Returns the known name that differs from `name` by few typos, or in its spelling.
pub(super) fn find<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.replace(['-', '.'], "_").to_lowercase();
    let name = plain(name);
    let is_part = |known: &str| known.rsplit('.').next().is_some_and(|part| part == name);
    let ranked = known.filter_map(|known| {
        let distance = if is_part(known) { 0 } else { strsim::osa_distance(&name, &plain(known)) };
        // One typo in a short name, more in a longer one.
        (distance <= (name.chars().count() / 4).clamp(1, 4)).then_some((distance, known))
    });
    ranked.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// The message about an unknown name.
pub(super) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match find(name, known) {
        Some(nearest) => format!("unknown {what}; did you mean {nearest}?"),
        None => format!("unknown {what}; `aaw-server config` prints all settings"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_typos_or_in_another_spelling_are_near() {
        let known = ["port", "max_connections", "http.poll_timeout", "http.static_dir"];
        for (name, expected) in [
            ("max_conections", Some("max_connections")),
            ("max-connections", Some("max_connections")),
            ("poll_timeout", Some("http.poll_timeout")),
            ("http.pol_timeout", Some("http.poll_timeout")),
            ("prot", Some("port")),
            ("unrelated", None),
            ("x", None),
        ] {
            assert_eq!(find(name, known.into_iter()), expected, "{name}");
        }
    }
}
