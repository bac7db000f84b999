//! The documentation of settings: that of the fields of `Config`, `HttpConfig`, `Auth` and `PasswordHasherConfig`, from the
//! source code, so that it is written once.

const CONFIG: &str = include_str!("../../../config.rs");
const AUTH: &str = include_str!("../../../auth/config.rs");
const PASSWORDS: &str = include_str!("../../../auth/password_hasher.rs");

/// Returns the documentation of a field as plain paragraphs, one a line, with an empty line between them. Links are replaced by
/// what `rename` makes of the last part of a path to an item, or else by their text.
pub(super) fn of_field(structure: &str, field: &str, rename: &dyn Fn(&str) -> Option<String>) -> String {
    let source = match structure {
        "Auth" => AUTH,
        "PasswordHasherConfig" => PASSWORDS,
        _ => CONFIG,
    };
    let fields = source.split_once(&format!("pub struct {structure} {{\n")).map_or("", |(_, rest)| rest);
    let mut paragraphs = vec![String::new()];
    for line in fields.lines().take_while(|line| *line != "}").map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            match (text.trim(), paragraphs.last_mut()) {
                ("", _) => paragraphs.push(String::new()),
                (text, Some(paragraph)) => {
                    if !paragraph.is_empty() {
                        paragraph.push(' ');
                    }
                    paragraph.push_str(text);
                }
                (_, None) => {}
            }
        } else if line.strip_prefix("pub ").is_some_and(|line| line.split(':').next() == Some(field)) {
            return without_links(&paragraphs.join("\n\n"), rename);
        } else if !line.starts_with("#[") {
            paragraphs = vec![String::new()];
        }
    }
    String::new()
}

/// The first sentence of a text.
pub(super) fn first_sentence(text: &str) -> &str {
    let end = text.match_indices(['.', '\n']).find(|(at, _)| {
        let rest = &text[at + 1..];
        rest.is_empty() || rest.starts_with('\n') || text[*at..].starts_with('\n') || {
            // A period before a capital letter. Abbreviations are followed by small ones.
            rest.strip_prefix(' ').and_then(|rest| rest.chars().next()).is_some_and(|c| c.is_uppercase() || c == '`')
        }
    });
    end.map_or(text, |(at, _)| &text[..at])
}

fn without_links(text: &str, rename: &dyn Fn(&str) -> Option<String>) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        plain.push_str(before);
        let Some((label, after)) = link.split_once(']') else {
            plain.push('[');
            rest = link;
            continue;
        };
        rest = match after.strip_prefix('(').and_then(|after| after.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
        let name = label.trim_matches('`').rsplit("::").next().and_then(rename);
        plain.push_str(&name.map_or_else(|| label.to_owned(), |name| format!("`{name}`")));
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_names() {
        let rename = |name: &str| (name == "poll_timeout").then(|| "http.poll_timeout".to_owned());
        let plain =
            without_links("see [`Self::poll_timeout`](Self::x), [`Other`] and [normal form](super::Form).", &rename);
        assert_eq!(plain, "see `http.poll_timeout`, `Other` and normal form.");
    }

    #[test]
    fn the_first_sentence_ends_before_a_capital_letter() {
        assert_eq!(first_sentence("Up to 4.5 s, e.g. of CPU. Default 1 s."), "Up to 4.5 s, e.g. of CPU");
        assert_eq!(first_sentence("One"), "One");
        assert_eq!(first_sentence("One\n\nTwo. Three."), "One");
    }
}
