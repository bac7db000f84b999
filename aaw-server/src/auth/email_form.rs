//! The form of a new e-mail address: what is refused because another address would look the same.
//!
//! An application shows addresses to its users, for example in a list of members. Two accounts whose addresses look the
//! same would let one user pass for another. So these are refused, in the name and in the domain:
//!
//! - characters that cannot be seen or change the direction of the text: Unicode's general categories Cc, Cf, Zl, Zp and
//!   Zs, the property Default_Ignorable_Code_Point, and what Unicode has not assigned or leaves to private use;
//! - characters that stand for ASCII ones, such as a full-width `＠` or a ligature: those whose compatibility
//!   decomposition (NFKC) contains ASCII;
//! - a combining mark that begins a part, since it changes the look of the `@` or the dot before it.
//!
//! Letters of two scripts that look alike, such as the Latin and the Cyrillic `a`, are allowed: telling them apart needs
//! to know the languages of the users (UTS #39).

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::{is_combining_mark, is_public_assigned};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use super::invalid_email::InvalidEmail;

/// The ASCII characters that a name may contain besides letters and digits: `atext` of RFC 5322, 3.2.3, and the dot.
/// Quoted names are not accepted: programs that send mail disagree about them.
const NAME_SYMBOLS: &str = "!#$%&'*+-/=?^_`{|}~.";

/// Checks an address in its normal form.
pub(super) fn check(email: &str) -> Result<(), InvalidEmail> {
    for c in email.chars().filter(|&c| c != ' ') {
        if is_invisible(c) {
            return Err(InvalidEmail::Invisible(c));
        }
        if !c.is_ascii() && std::iter::once(c).nfkc().any(|c| c.is_ascii() || is_dot(c)) {
            return Err(InvalidEmail::Lookalike(c));
        }
    }
    let (name, domain) = email.rsplit_once('@').ok_or(InvalidEmail::Form)?;
    let is_name_char = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || NAME_SYMBOLS.contains(c);
    // An underscore is in no host name, but in some that exist.
    let is_domain_char = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || domain.is_empty() || !name.chars().all(is_name_char) || !domain.chars().all(is_domain_char) {
        return Err(InvalidEmail::Form);
    }
    let mut labels = name.split('.').chain(domain.split('.'));
    labels.try_for_each(|label| match label.chars().next() {
        None => Err(InvalidEmail::Dot),
        Some(c) if is_combining_mark(c) => Err(InvalidEmail::Invisible(c)),
        Some(_) => Ok(()),
    })
}

/// The full stops that IDNA takes for a dot (RFC 3490, 3.1), unless their compatibility decomposition is ASCII.
fn is_dot(c: char) -> bool {
    c == '\u{3002}'
}

fn is_invisible(c: char) -> bool {
    use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator, SpaceSeparator};
    let is_separator_or_control = || {
        matches!(c.general_category(), Control | Format | LineSeparator | ParagraphSeparator | SpaceSeparator)
            // Newer than the tables of the categories, or for private use.
            || !is_public_assigned(c)
    };
    if c.is_ascii() { c.is_control() } else { is_separator_or_control() || is_ignorable(c) }
}

/// The code points of Default_Ignorable_Code_Point (DerivedCoreProperties.txt) that are assigned and not in the category
/// Cf, and the blank of Braille.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'                                // combining grapheme joiner
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // Hangul fillers
            | '\u{17b4}' | '\u{17b5}'            // Khmer inherent vowels
            | '\u{180b}'..='\u{180f}'            // Mongolian variation selectors
            | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' // variation selectors
            | '\u{2800}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Email;

    #[track_caller]
    fn check_all(refused: &[char], expected: fn(char) -> InvalidEmail) {
        for &c in refused {
            for text in [format!("a{c}da@example.com"), format!("ada@ex{c}ample.com"), format!("ada@example.c{c}om")] {
                assert_eq!(Email::parse(&text), Err(expected(c)), "U+{:04X} in {text:?}", u32::from(c));
            }
        }
    }

    #[test]
    fn characters_that_cannot_be_seen_are_refused() {
        // Zero width, soft hyphen, byte order mark, joiners, tags.
        check_all(
            &['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{ad}', '\u{feff}', '\u{e0041}'],
            InvalidEmail::Invisible,
        );
        // Directions: marks, embeddings, overrides, isolates.
        check_all(
            &['\u{200e}', '\u{200f}', '\u{61c}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}'],
            InvalidEmail::Invisible,
        );
        // Ignorable, though they are letters or marks.
        check_all(
            &['\u{34f}', '\u{115f}', '\u{3164}', '\u{17b4}', '\u{180b}', '\u{fe0f}', '\u{e0100}'],
            InvalidEmail::Invisible,
        );
        // Spaces and controls of every kind, unassigned and private.
        check_all(&['\u{a0}', '\u{2003}', '\u{3000}', '\u{2028}', '\u{2029}', '\u{1680}'], InvalidEmail::Invisible);
        check_all(
            &['\0', '\t', '\n', '\u{7f}', '\u{85}', '\u{378}', '\u{e000}', '\u{fdd0}', '\u{2800}'],
            InvalidEmail::Invisible,
        );
    }

    #[test]
    fn characters_that_stand_for_ascii_ones_are_refused() {
        // Full-width letters, at, dot; small at; one dot leader; ligature; superscript; the dots of IDNA.
        check_all(&['ａ', '＠', '．', '﹫', '․', 'ﬁ', '²', '。', '｡', '…', '℀'], InvalidEmail::Lookalike);
    }

    #[test]
    fn a_dot_stands_between_two_characters() {
        for text in [
            "ada@example.com.",
            "ada@.example.com",
            "ada@example..com",
            ".ada@example.com",
            "ada.@example.com",
            "a..da@example.com",
            "ada@.",
        ] {
            assert_eq!(Email::parse(text), Err(InvalidEmail::Dot), "{text}");
        }
    }

    #[test]
    fn one_address_is_expected_and_no_list() {
        for text in [
            "ada@example.com,eve@example.com",
            "ada@example.com;eve@example.com",
            "ada@example.com eve@example.com",
            "<ada@example.com>",
            "Ada <ada@example.com>",
            "\"ada\"@example.com",
            "a(da)@example.com",
            "ada@eve@example.com",
            "ada@example.com:25",
            "ada@[127.0.0.1]",
            "ada\\@example.com",
        ] {
            assert_eq!(Email::parse(text), Err(InvalidEmail::Form), "{text}");
        }
    }

    #[test]
    fn a_combining_mark_does_not_begin_a_part() {
        for text in ["ada@\u{338}example.com", "ada@example.\u{301}com", "\u{308}ada@example.com"] {
            assert!(matches!(Email::parse(text), Err(InvalidEmail::Invisible(_))), "{text}");
        }
    }

    #[test]
    fn addresses_of_every_script_are_accepted() {
        for text in [
            "ada@example.com",
            "o'brien+news@sub.example.com",
            "!#$%&'*+-/=?^_`{|}~@example.com",
            "ada@localhost",
            "ada@xn--exmple-cua.se",
            "åsa@exämple.se",
            "用户@例子.广告",
            "अजय@डाटा.भारत",
            "квіточка@пошта.укр",
            "θσερ@εχαμπλε.ψομ",
            "คำ@ตัวอย่าง.ไทย",
            "🐒@example.com",
            "1@2.3",
        ] {
            let email = Email::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(email.as_str(), text);
        }
    }

    #[test]
    fn the_error_names_the_character() {
        let text = |text: &str| Email::parse(text).expect_err("invalid").to_string();
        let invisible = "an e-mail address must not contain the invisible or control character U+200B";
        assert_eq!(text("ada\u{200b}@example.com"), invisible);
        assert_eq!(
            text("ada＠example.com"),
            "an e-mail address must not contain U+FF20; expected the usual character for it"
        );
    }
}
