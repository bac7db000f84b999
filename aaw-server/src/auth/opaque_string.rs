//! The normal form of passwords: the profile OpaqueString of RFC 8265, section 4.2.
//!
//! Keyboards and systems write the same character in different ways: `ä` as one code point, or as an `a` with a combining
//! mark; a space as U+0020 or as U+00A0. The profile maps all spaces to U+0020 and the rest to NFC. It changes neither
//! case nor width, so that a password keeps its strength.
//!
//! The profile allows the code points of the class FreeformClass (RFC 8264, section 4.3). As there, control characters
//! and code points that Unicode has not assigned or leaves to private use are not allowed: the normal form of an
//! unassigned one can change with the next version of Unicode. Two rules differ:
//!
//! - The registry of the RFC ends with Unicode 6.3, from 2013, and so refuses most of today's emoji. Here, what Unicode
//!   has assigned since then is allowed.
//! - Joiners and variation selectors are allowed everywhere: emoji are made of them.

use std::borrow::Cow;

use unicode_normalization::char::is_public_assigned;
use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// A code point that the profile does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DisallowedChar(pub(super) char);

/// Returns the normal form of a text, which is borrowed if it is in that form. An empty text is returned as it is.
///
/// # Errors
/// [`DisallowedChar`] with the first code point that the profile does not allow.
pub(super) fn enforce(text: &str) -> Result<Cow<'_, str>, DisallowedChar> {
    if let Some(disallowed) = text.chars().find(|&c| c.is_control() || !(c.is_ascii() || is_public_assigned(c))) {
        return Err(DisallowedChar(disallowed));
    }
    if text.is_ascii() {
        return Ok(Cow::Borrowed(text));
    }
    let mapped = if text.contains(is_non_ascii_space) {
        Cow::Owned(text.replace(is_non_ascii_space, " "))
    } else {
        Cow::Borrowed(text)
    };
    if is_nfc(&mapped) { Ok(mapped) } else { Ok(Cow::Owned(mapped.nfc().collect())) }
}

/// Whether the general category of a code point is Zs, except for U+0020.
fn is_non_ascii_space(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let normal = enforce(text).unwrap();
        assert_eq!(normal, expected, "{text:?}");
        assert_eq!(enforce(&normal), Ok(Cow::Borrowed(expected)), "the normal form has itself as its normal form");
    }

    #[test]
    fn the_examples_of_rfc_8265_have_their_results() {
        // Section 4.3.
        for text in ["correct horse battery staple", "Correct Horse Battery Staple", "πßå", "Jack of ♦s"] {
            check(text, text);
        }
        check("foo\u{1680}bar", "foo bar");
        assert_eq!(enforce("my cat is a \u{9}by"), Err(DisallowedChar('\t')));
    }

    #[test]
    fn composed_and_decomposed_characters_have_one_form() {
        check("pa\u{308}ssword", "pässword");
        check("pässword", "pässword");
        // Two marks in either order, a precomposed Hangul syllable, and a singleton: the sign for Ångström.
        check("q\u{307}\u{323}", "q\u{323}\u{307}");
        check("\u{1112}\u{1161}\u{11ab}", "한");
        check("\u{212b}", "Å");
        // A mapping to NFKC would lose these differences.
        check("ﬁ ² Ａ", "ﬁ ² Ａ");
    }

    #[test]
    fn every_space_becomes_the_ascii_one_and_is_not_trimmed() {
        check("\u{a0}a\u{2003}\u{3000}b\u{202f}", " a  b ");
    }

    #[test]
    fn emoji_are_allowed_whatever_their_age_and_parts() {
        // Unicode 6.0, 12.0 and 15.0; with a variation selector, a joiner, a flag.
        for text in ["🐒🪐🩷", "❤\u{fe0f}", "👩\u{200d}💻", "🇩🇪"] {
            check(text, text);
        }
    }

    #[test]
    fn controls_and_unassigned_and_private_code_points_are_not_allowed() {
        for c in ['\0', '\n', '\u{7f}', '\u{85}', '\u{378}', '\u{e000}', '\u{fdd0}', '\u{ffff}', '\u{10fffd}'] {
            assert_eq!(enforce(&format!("a{c}ä")), Err(DisallowedChar(c)), "{c:?}");
        }
    }

    #[test]
    fn the_normal_form_of_each_character_is_normal() {
        // No character beyond has another form.
        for c in ('\0'..'\u{30000}').filter(|c| !c.is_ascii()) {
            let text = format!("a{c}b");
            if let Ok(normal) = enforce(&text) {
                assert_eq!(enforce(&normal), Ok(Cow::Borrowed(&*normal)), "{c:?}");
                assert!(!normal.chars().any(|c| c.is_control() || is_non_ascii_space(c)), "{c:?}");
            }
        }
    }
}
