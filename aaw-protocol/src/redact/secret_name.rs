//! Which fields may hold a password, a token or the like, by their names.

/// The words that make the name of a field secret, wherever they are in it.
const SECRET_WORDS: [&str; 20] = [
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "pwd",
    "pswd",
    "passcode",
    "pincode",
    "kennwort",
    "motdepasse",
    "contrase",
    "secret",
    "token",
    "authorization",
    "bearer",
    "cookie",
    "credential",
    "apikey",
    "privatekey",
    "jwt",
];

/// The names that are secret as a whole; as parts of other names, they are harmless.
const SECRET_NAMES: [&str; 1] = ["auth"];

/// Words are secret that are one of these or end in one, as in `newpw`. Hardly another word does.
const SECRET_ENDINGS: [&str; 4] = ["pw", "psw", "mdp", "otp"];

/// Words that end in `pass` and are about no password.
const OTHER_PASSES: [&str; 14] = [
    "compass",
    "encompass",
    "gyrocompass",
    "bypass",
    "surpass",
    "trespass",
    "overpass",
    "underpass",
    "lowpass",
    "highpass",
    "bandpass",
    "allpass",
    "singlepass",
    "multipass",
];

/// What follows the word `pass` or `pin` in the name of a password. Followed by another word, as in `pass_rate`, it is
/// about something else.
const SECRET_FOLLOWERS: [&str; 12] =
    ["word", "phrase", "code", "key", "hash", "salt", "confirm", "confirmation", "repeat", "again", "old", "new"];

/// What is before `pin` in a word that is a secret number.
const PIN_PREFIXES: [&str; 7] = ["user", "new", "old", "my", "login", "card", "sim"];

/// Whether a field of this name may hold a password, a token or the like. The case does not matter, and neither do `_`, `-`,
/// `.` and spaces, except that they separate words, as digits and capital letters do: `userPassword`, `API-Key`,
/// `session_token`, `newPass` and `pw2` are such names.
///
/// A name is secret
///
/// - if it contains one of `password`, `passwd`, `passphrase`, `passwort`, `pwd`, `pswd`, `passcode`, `pincode`, `kennwort`,
///   `motdepasse`, `contrase`, `secret`, `token`, `authorization`, `bearer`, `cookie`, `credential`, `apikey`, `privatekey` and
///   `jwt`,
/// - if a word of it is `pw`, `psw`, `mdp` or `otp`, or ends in one (`newpw`),
/// - if its last word is `pass` or ends in it (`userpass`), except for words such as `compass` and `bypass`, or is `pin` or
///   `sid`; and also if `pass` or `pin` is followed by a word such as `hash`, `key`, `confirm` or `repeat`,
/// - if it is `auth`.
///
/// The time is linear in the length of the name.
pub fn is_secret_name(name: &str) -> bool {
    let joined = joined(name);
    SECRET_NAMES.contains(&&*joined) || has_secret_part(&joined) || has_secret_word(name)
}

/// Whether JSON may have a field with a secret name, without parsing it, also if it is not quite JSON. A name may contain
/// escapes.
pub(super) fn may_have_secret_name(text: &str) -> bool {
    // Names have these characters too, and are not split by them.
    let is_of_name = |c: char| c.is_alphanumeric() || is_separator(c);
    text.contains('\\')
        || has_secret_part(&joined(text))
        || text.split(|c| !is_of_name(c)).any(|name| SECRET_NAMES.contains(&&*joined(name)) || has_secret_word(name))
}

fn has_secret_part(joined: &str) -> bool {
    SECRET_WORDS.iter().any(|word| joined.contains(word))
}

fn is_separator(c: char) -> bool {
    matches!(c, '_' | '-' | '.' | ' ')
}

/// Returns a name in lower case and without separators.
fn joined(name: &str) -> String {
    name.chars().filter(|c| !is_separator(*c)).flat_map(char::to_lowercase).collect()
}

fn has_secret_word(name: &str) -> bool {
    let words = words(name);
    let is_secret = |(at, word): (usize, &String)| {
        let before = at.checked_sub(1).map_or("", |at| &words[at]);
        let next = words.get(at + 1).map(String::as_str);
        is_secret_word(before, word, next)
    };
    words.iter().enumerate().any(is_secret)
}

/// Whether a word makes a name secret, in lower case, with the words before and behind it.
fn is_secret_word(before: &str, word: &str, next: Option<&str>) -> bool {
    if SECRET_ENDINGS.iter().any(|ending| word.ends_with(ending)) || (word == "sid" && next.is_none()) {
        return true;
    }
    let is_followed_up = |next: &str| SECRET_FOLLOWERS.contains(&next);
    if word.strip_prefix("pass").is_some_and(is_followed_up) {
        return true;
    }
    let is_pass = word.ends_with("pass") && !OTHER_PASSES.contains(&word) && !is_other_pass(before, word);
    let is_pin = word.strip_suffix("pin").is_some_and(|prefix| prefix.is_empty() || PIN_PREFIXES.contains(&prefix));
    (is_pass || is_pin) && next.is_none_or(is_followed_up)
}

/// Whether two words are one of the [other passes](OTHER_PASSES), as in `byPass`.
fn is_other_pass(before: &str, word: &str) -> bool {
    word == "pass" && OTHER_PASSES.iter().any(|other| other.strip_suffix(word) == Some(before))
}

/// Returns the words of a name in lower case: `newUserPW2` has `new`, `user` and `pw`, and `API-Key` has `api` and `key`.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = name.chars().peekable();
    let mut is_after_lower = false;
    let mut is_after_upper = false;
    while let Some(c) = chars.next() {
        // A capital letter begins a word, and of several ones the last does if a small letter follows.
        let begins = c.is_uppercase()
            && (is_after_lower || (is_after_upper && chars.peek().is_some_and(|next| next.is_lowercase())));
        if (begins || !c.is_alphabetic()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphabetic() {
            word.extend(c.to_lowercase());
        }
        (is_after_lower, is_after_upper) = (c.is_lowercase(), c.is_uppercase());
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_words() {
        for (name, expected) in [
            ("newUserPW2", &["new", "user", "pw"][..]),
            ("API-Key", &["api", "key"]),
            ("PWHash", &["pw", "hash"]),
            ("session_token.x y", &["session", "token", "x", "y"]),
            ("mp3Pass", &["mp", "pass"]),
            ("ÄrgerÜber", &["ärger", "über"]),
            ("__", &[]),
            ("", &[]),
        ] {
            assert_eq!(words(name), expected, "{name}");
        }
    }

    #[test]
    fn names_of_secrets_are_recognized_in_each_way_to_write_them() {
        for name in [
            "password",
            "Password",
            "user_password",
            "passwd",
            "passWord",
            "pass_phrase",
            "Passwort",
            "pwd",
            "userPwd",
            "pswd",
            "passcode",
            "pass code",
            "pincode",
            "pinCode",
            "kennwort",
            "motDePasse",
            "mot_de_passe",
            "contraseña",
            "contrasena",
            "client_secret",
            "token",
            "resetToken",
            "Authorization",
            "bearer",
            "set.cookie",
            "credentials",
            "API-Key",
            "apiKey",
            "private_key",
            "jwt", // anywhere
            "pw",
            "PW",
            "pw2",
            "newPw",
            "newPW",
            "newpw",
            "new_pw",
            "userpw",
            "pwHash",
            "PWHash",
            "dbPw",
            "psw",
            "mdp",
            "nouveau_mdp",
            "otp",
            "totp",
            "otpCode",
            "smsOtp", // words
            "pass",
            "Pass",
            "PASS",
            "userpass",
            "userPass",
            "user_pass",
            "USERPASS",
            "newPass",
            "newpass",
            "oldPass",
            "new-pass",
            "pass1",
            "pass_2",
            "dbpass",
            "passHash",
            "passhash",
            "pass_confirm",
            "passConfirmation",
            "passRepeat",
            "passkey",
            "newPassAgain", // pass
            "pin",
            "PIN",
            "userPin",
            "userpin",
            "newPin",
            "card_pin",
            "pinHash",
            "sid",
            "connect.sid",
            "auth",
            "AUTH",
        ] {
            assert!(is_secret_name(name), "{name}");
            assert!(may_have_secret_name(&format!(r#"{{"{name}":1"#)), "{name}");
            assert!(may_have_secret_name(&format!("{{{name}: 'x'}}")), "{name}");
        }
    }

    #[test]
    fn other_names_are_harmless() {
        for name in [
            "compass",
            "Compass",
            "COMPASS",
            "bypass",
            "byPass",
            "by_pass",
            "passenger",
            "passengers",
            "passed",
            "passing",
            "passive",
            "passport",
            "passes",
            "pass_rate",
            "passCount",
            "encompass",
            "trespass",
            "underpass",
            "lowPass",
            "band_pass_filter",
            "spin",
            "spinner",
            "pinned",
            "pins",
            "pin_color",
            "opinion",
            "shopping",
            "topin",
            "mapPinX",
            "option",
            "optPass_through",
            "pwm",
            "power",
            "pwned",
            "author",
            "authorName",
            "authType",
            "side",
            "inside",
            "sidebar",
            "residence",
            "id",
            "name",
            "email",
            "key",
            "public_key",
            "",
            "é",
            "_",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn the_time_is_linear_in_the_length_of_a_name() {
        for part in ["pass", "Pass_", "pin_", "pW", "PASS"] {
            let (mut name, started) = (part.repeat(1 << 15), std::time::Instant::now());
            name.push_str("_x");
            let _ = (is_secret_name(&name), may_have_secret_name(&name));
            assert!(started.elapsed() < std::time::Duration::from_secs(5), "{part}: {:?}", started.elapsed());
        }
    }
}
