//! The forms of values: how they are written in the settings file, in variables and in flags, and what is valid.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use aaw_server::auth::RateLimit;
use aaw_server::config::{AllowedHost, AllowedOrigin, ForwardedHeader, ListenAddress, PathPrefix, TrustedProxy};
use aaw_server::tls::Acme;
use tracing_subscriber::EnvFilter;

/// No upper bound of a [`Kind::Number`] other than that of the field.
pub(super) const MAX: u64 = u64::MAX;

/// What a duration may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeRange {
    /// Zero and `never` are valid.
    Any,
    /// Longer than zero, or `never`.
    Positive,
    /// Longer than zero, and not `never`.
    Finite,
}

// Short names for the table.
pub(super) const ANY: TimeRange = TimeRange::Any;
pub(super) const POSITIVE: TimeRange = TimeRange::Positive;
pub(super) const FINITE: TimeRange = TimeRange::Finite;

/// The form of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text that is not empty.
    Text,
    /// A whole number between two bounds.
    Number(u64, u64),
    /// A whole number, or `none`.
    NumberOrNone,
    /// A whole number between two bounds, or `auto`.
    NumberOrAuto(u64, u64),
    /// A size of at least so many bytes: `1048576` or `1 MiB`.
    Bytes(u64),
    /// A size, or `none`.
    BytesOrNone,
    /// A duration with its unit, `1m 30s`, or `never`.
    Time(TimeRange),
    /// `true` or `false`.
    Switch,
    /// `open` or `off`.
    OpenOrOff,
    /// A path; the empty text stands for none.
    Path,
    /// A path, or `off`.
    PathOrOff,
    /// A list of origins, with commas between them where a text is expected.
    Origins,
    /// A list of host names, as [`Origins`](Self::Origins).
    Hosts,
    /// A list of addresses to listen on, as [`Origins`](Self::Origins).
    Addresses,
    /// A list of proxies, as [`Origins`](Self::Origins).
    Proxies,
    /// The kind of headers that proxies state the client in.
    ForwardedHeader,
    /// A path below which the server is reached.
    PathPrefix,
    /// A list of host names that a certificate is obtained for, as [`Origins`](Self::Origins).
    Domains,
    /// An e-mail address; the empty text stands for none.
    EmailOrNone,
    /// The URL of an ACME directory.
    DirectoryUrl,
    /// The permissions of a file, in octal.
    Mode,
    /// A rate limit: `10 then 1 per 30s`.
    Rate,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The level of the log, in the form of `RUST_LOG`.
    LogLevel,
}

/// A value in its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    /// `None` is `none`.
    OptionalNumber(Option<u64>),
    Time(Duration),
    Switch(bool),
    /// `None` is the empty text, or `off`.
    OptionalText(Option<String>),
    Origins(Vec<AllowedOrigin>),
    Hosts(Vec<AllowedHost>),
    Addresses(Vec<ListenAddress>),
    Proxies(Vec<TrustedProxy>),
    ForwardedHeader(ForwardedHeader),
    PathPrefix(PathPrefix),
    Texts(Vec<String>),
    Rate(RateLimit),
}

impl Kind {
    /// Parses a value. The error says what was expected; the caller names the value. Of a list, it names the element.
    pub(super) fn parse(self, text: &str) -> Result<Value, String> {
        let parsed = match self {
            Self::Text => Some(Value::Text(text.to_owned())).filter(|_| !text.is_empty()),
            Self::Number(min, max) => text.parse().ok().filter(|n| (min..=max).contains(n)).map(Value::Number),
            Self::Bytes(min) => parse_bytes(text).filter(|n| *n >= min).map(Value::Number),
            Self::NumberOrNone | Self::BytesOrNone if text == "none" => Some(Value::OptionalNumber(None)),
            Self::BytesOrNone => parse_bytes(text).map(|n| Value::OptionalNumber(Some(n))),
            Self::NumberOrNone => text.parse().ok().map(|n| Value::OptionalNumber(Some(n))),
            Self::NumberOrAuto(..) if text == "auto" => Some(Value::OptionalNumber(None)),
            Self::NumberOrAuto(min, max) => {
                let number = text.parse().ok().filter(|n| (min..=max).contains(n));
                number.map(|n| Value::OptionalNumber(Some(n)))
            }
            Self::Time(range) => parse_time(text, range).map(Value::Time),
            Self::Switch => parse_switch(text).map(Value::Switch),
            Self::OpenOrOff if text == "open" => Some(Value::Switch(true)),
            Self::OpenOrOff => parse_switch(text).map(Value::Switch),
            Self::Path => Some(Value::OptionalText(Some(text.to_owned()).filter(|text| !text.is_empty()))),
            Self::PathOrOff => {
                Some(Value::OptionalText(Some(text.to_owned()).filter(|text| !matches!(&**text, "" | "off"))))
            }
            Self::Origins => return parse_list(text).map(Value::Origins),
            Self::Hosts => return parse_list(text).map(Value::Hosts),
            Self::Addresses => return parse_list(text).map(Value::Addresses),
            Self::Proxies => return parse_list(text).map(Value::Proxies),
            Self::ForwardedHeader => return parse_as(text).map(Value::ForwardedHeader),
            Self::PathPrefix => return parse_as(text).map(Value::PathPrefix),
            Self::Domains => {
                let domains: Vec<_> = list(text).map(str::to_owned).collect();
                Some(domains).filter(|domains| domains.iter().all(|name| Acme::is_valid_domain(name))).map(Value::Texts)
            }
            Self::EmailOrNone => {
                let is_valid = text.is_empty() || is_email(text);
                is_valid.then(|| Value::OptionalText(Some(text.to_owned()).filter(|text| !text.is_empty())))
            }
            Self::DirectoryUrl => Acme::is_valid_directory_url(text).then(|| Value::Text(text.to_owned())),
            Self::Mode => u64::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777).map(Value::Number),
            Self::Rate => parse_rate(text).map(Value::Rate),
            Self::Choice(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
            Self::LogLevel => {
                let is_valid = !text.is_empty() && EnvFilter::builder().parse(text).is_ok();
                is_valid.then(|| Value::Text(text.to_owned()))
            }
        };
        parsed.ok_or_else(|| format!("expected {}", self.expected()))
    }

    /// What a valid value is, for messages and documentation.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Text => "a text that is not empty".into(),
            Self::Number(min, MAX) => format!("a whole number of at least {min}"),
            Self::Number(min, max) => format!("a whole number from {min} to {max}"),
            Self::Bytes(0) => "a size such as 65536, 64 KiB or 1 MiB".into(),
            Self::Bytes(min) => {
                let unit = if min == 1 { "byte" } else { "bytes" };
                format!("a size such as 65536, 64 KiB or 1 MiB, of at least {min} {unit}")
            }
            Self::NumberOrNone => "a whole number, or none".into(),
            Self::NumberOrAuto(min, max) => format!("a whole number from {min} to {max}, or auto"),
            Self::BytesOrNone => "a size such as 65536, 64 KiB or 1 MiB, or none".into(),
            Self::Time(TimeRange::Any) => "a duration with a unit, such as 500ms, 8s or 1m30s, or never".into(),
            Self::Time(TimeRange::Positive) => {
                "a duration with a unit, such as 500ms, 8s or 1m30s, longer than zero, or never".into()
            }
            Self::Time(TimeRange::Finite) => {
                "a duration with a unit, such as 8s, 20m or 30days, longer than zero and up to 100 years".into()
            }
            Self::Switch => "true or false".into(),
            Self::OpenOrOff => "open or off".into(),
            Self::Path => "a path".into(),
            Self::PathOrOff => "a path, or off".into(),
            Self::Origins => "a list of origins".into(),
            Self::Hosts => "a list of host names".into(),
            Self::Addresses => "a list of addresses, such as 127.0.0.1:1337, [::]:443 or unix:/run/aaw.sock".into(),
            Self::Proxies => "a list of proxies, such as 127.0.0.1, 10.0.0.0/8 or unix".into(),
            Self::ForwardedHeader => "x-forwarded-for or forwarded".into(),
            Self::PathPrefix => "a path such as /app".into(),
            Self::Domains => "a list of host names without wildcards, such as api.example.com".into(),
            Self::EmailOrNone => "an e-mail address".into(),
            Self::DirectoryUrl => "a URL that begins with https://".into(),
            Self::Mode => "permissions in octal, such as 660 or 666".into(),
            Self::Rate => "a rate limit such as 10 then 1 per 30s, with a burst of at least 1".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::LogLevel => "a level such as info or debug, or directives such as info,aaw_server=debug".into(),
        }
    }

    /// The placeholder of a value in the help of its flag.
    pub(super) fn placeholder(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Number(..) | Self::NumberOrNone | Self::NumberOrAuto(..) => "NUMBER",
            Self::Bytes(_) | Self::BytesOrNone => "BYTES",
            Self::Time(_) => "TIME",
            Self::Switch => "BOOL",
            Self::OpenOrOff => "HOW",
            Self::Path | Self::PathOrOff => "PATH",
            Self::Origins => "ORIGIN",
            Self::Hosts => "HOST",
            Self::Addresses => "ADDRESS",
            Self::Proxies => "CIDR",
            Self::ForwardedHeader => "HEADER",
            Self::PathPrefix => "PATH",
            Self::Domains => "HOST",
            Self::EmailOrNone => "EMAIL",
            Self::DirectoryUrl => "URL",
            Self::Mode => "MODE",
            Self::Rate => "RATE",
            Self::Choice(_) => "HOW",
            Self::LogLevel => "LEVEL",
        }
    }

    /// Whether a value is a list: an array in the file, and a flag that may be given several times.
    pub(super) fn is_list(self) -> bool {
        matches!(self, Self::Origins | Self::Hosts | Self::Addresses | Self::Proxies | Self::Domains)
    }

    /// Writes a value as text, in the form that [`parse`](Self::parse) reads.
    pub(super) fn to_text(self, value: &Value) -> String {
        match (self, value) {
            (_, Value::Text(text)) => text.clone(),
            (Self::Mode, Value::Number(n)) => format!("{n:o}"),
            (Self::Number(..), Value::Number(n))
            | (Self::NumberOrNone | Self::NumberOrAuto(..), Value::OptionalNumber(Some(n))) => n.to_string(),
            (_, Value::Number(n) | Value::OptionalNumber(Some(n))) => bytes_text(*n),
            (Self::NumberOrAuto(..), Value::OptionalNumber(None)) => "auto".into(),
            (_, Value::OptionalNumber(None)) => "none".into(),
            (_, Value::Time(time)) => time_text(*time),
            (Self::OpenOrOff, Value::Switch(on)) => if *on { "open" } else { "off" }.into(),
            (_, Value::Switch(on)) => on.to_string(),
            (_, Value::OptionalText(Some(path))) => path.clone(),
            (Self::PathOrOff, Value::OptionalText(None)) => "off".into(),
            (_, Value::OptionalText(None)) => String::new(),
            (_, Value::Origins(origins)) => join(origins),
            (_, Value::Hosts(hosts)) => join(hosts),
            (_, Value::Addresses(addresses)) => join(addresses),
            (_, Value::Proxies(proxies)) => join(proxies),
            (_, Value::ForwardedHeader(header)) => header.to_string(),
            // The root is an empty one.
            (_, Value::PathPrefix(prefix)) => format!("/{}", prefix.as_str().trim_start_matches('/')),
            (_, Value::Texts(texts)) => join(texts),
            (_, Value::Rate(RateLimit { burst, refill_interval })) => {
                format!("{burst} then 1 per {}", time_text(*refill_interval))
            }
        }
    }

    /// Writes a value as TOML.
    pub(super) fn to_toml(self, value: &Value) -> String {
        match value {
            Value::Origins(origins) => toml_list(origins),
            Value::Hosts(hosts) => toml_list(hosts),
            Value::Addresses(addresses) => toml_list(addresses),
            Value::Proxies(proxies) => toml_list(proxies),
            Value::Texts(texts) => toml_list(texts),
            _ if self == Self::Mode => quote(&self.to_text(value)),
            Value::Switch(_) if self == Self::Switch => self.to_text(value),
            Value::Number(_) | Value::OptionalNumber(Some(_)) => {
                let text = self.to_text(value);
                // TOML has no numbers beyond `i64`. Sizes with a unit are texts.
                if text.parse::<i64>().is_ok() { text } else { quote(&text) }
            }
            _ => quote(&self.to_text(value)),
        }
    }
}

/// The elements of a list, which may have spaces after their commas.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|text| !text.is_empty())
}

/// Parses each element of a list.
fn parse_list<T: FromStr<Err: Display>>(text: &str) -> Result<Vec<T>, String> {
    let parse = |element: &str| {
        let is_alone = element == text;
        parse_as(element).map_err(|expected| if is_alone { expected } else { format!("{element:?}: {expected}") })
    };
    list(text).map(parse).collect()
}

/// Parses a type of the library, whose errors begin with the value.
fn parse_as<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| {
        let error = error.to_string();
        let without_value = error.split_once(&format!("{text:?}: ")).map(|(_, expected)| expected.to_owned());
        without_value.unwrap_or(error)
    })
}

fn is_email(text: &str) -> bool {
    let parts = text.split_once('@').filter(|(name, domain)| !name.is_empty() && !domain.is_empty());
    parts.is_some_and(|(name, _)| !name.contains(':')) && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// The elements with commas between them.
fn join(elements: &[impl ToString]) -> String {
    elements.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn toml_list(elements: &[impl ToString]) -> String {
    let quoted: Vec<_> = elements.iter().map(|element| quote(&element.to_string())).collect();
    format!("[{}]", quoted.join(", "))
}

/// A TOML string.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Powers of 1024, the largest first.
const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) =
        UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?.trim_end(), *size))).unwrap_or((text, 1));
    number.parse::<u64>().ok()?.checked_mul(unit)
}

fn bytes_text(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    unit.map_or_else(|| bytes.to_string(), |(unit, size)| format!("{} {unit}", bytes / size))
}

fn parse_time(text: &str, range: TimeRange) -> Option<Duration> {
    /// The longest text that is parsed. humantime 2.4 panics on some sums beyond `Duration::MAX`, all of them longer.
    const MAX_LEN: usize = 24;
    /// The longest lifetime: points in time that are further away cannot be stored everywhere.
    const MAX_FINITE: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
    if text == "never" {
        return (range != TimeRange::Finite).then_some(Duration::MAX);
    }
    let parsed = humantime::parse_duration(Some(text).filter(|text| text.len() <= MAX_LEN)?).ok()?;
    let is_valid = match range {
        TimeRange::Any => true,
        TimeRange::Positive => !parsed.is_zero(),
        TimeRange::Finite => !parsed.is_zero() && parsed <= MAX_FINITE,
    };
    is_valid.then_some(parsed)
}

fn time_text(time: Duration) -> String {
    match time {
        Duration::MAX => "never".into(),
        // Not as 1m 15s.
        _ if time.subsec_nanos() == 0 && time.as_secs() < 120 => format!("{}s", time.as_secs()),
        _ => humantime::format_duration(time).to_string(),
    }
}

const YES: [&str; 6] = ["y", "yes", "t", "true", "on", "1"];
const NO: [&str; 6] = ["n", "no", "f", "false", "off", "0"];

/// The words for yes and no, in any case.
pub(super) fn parse_switch(text: &str) -> Option<bool> {
    let is_one_of = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(&YES) { Some(true) } else { is_one_of(&NO).then_some(false) }
}

fn parse_rate(text: &str) -> Option<RateLimit> {
    let (burst, interval) = text.split_once(" then 1 per ")?;
    let burst = burst.trim().parse().ok().filter(|burst| *burst > 0)?;
    Some(RateLimit::new(burst, parse_time(interval.trim(), TimeRange::Finite)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks what a text is printed as again, or that it is invalid.
    fn check(kind: Kind, cases: &[(&str, Option<&str>)]) {
        for (text, expected) in cases {
            let printed = kind.parse(text).ok().map(|value| kind.to_text(&value));
            assert_eq!(printed.as_deref(), *expected, "{text:?} as {kind:?}");
            if let Some(printed) = printed {
                assert_eq!(kind.parse(&printed), kind.parse(text), "{printed:?}");
            }
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        let cases = [
            ("0", None),
            ("1", Some("1")),
            ("1024", Some("1 KiB")),
            ("64MiB", Some("64 MiB")),
            ("64 MiB", Some("64 MiB")),
        ];
        check(Kind::Bytes(1), &cases);
        let invalid = ["", "1 MB", "1.5 MiB", "-1", "MiB", "99999999999999999999", "18014398509481984 KiB"];
        check(Kind::Bytes(1), &invalid.map(|text| (text, None)));
        check(Kind::NumberOrAuto(1, 9), &[("auto", Some("auto")), ("9", Some("9")), ("0", None), ("10", None)]);
        check(Kind::BytesOrNone, &[("none", Some("none")), ("0", Some("0")), ("None", None)]);
    }

    #[test]
    fn durations_have_units_and_may_be_never() {
        check(
            Kind::Time(ANY),
            &[("0s", Some("0s")), ("1m 30s", Some("90s")), ("20m", Some("20m")), ("never", Some("never")), ("8", None)],
        );
        check(Kind::Time(POSITIVE), &[("0s", None), ("1ms", Some("1ms")), ("never", Some("never"))]);
        check(Kind::Time(FINITE), &[("30days", Some("30days")), ("never", None), ("1000years", None)]);
        // Parsing it would panic.
        check(Kind::Time(ANY), &[("18446744073709551615s 1s 1s", None)]);
    }

    #[test]
    fn the_other_kinds_reject_what_they_are_not() {
        check(Kind::Number(1, 10), &[("0", None), ("10", Some("10")), ("11", None), ("1e3", None)]);
        check(Kind::Rate, &[("10 then 1 per 30s", Some("10 then 1 per 30s")), ("0 then 1 per 1s", None), ("10", None)]);
        check(Kind::Rate, &[("10 then 1 per never", None), ("10 then 1 per 0s", None)]);
        check(Kind::Switch, &[("on", Some("true")), ("No", Some("false")), ("maybe", None)]);
        check(
            Kind::Origins,
            &[("https://a.example, *", Some("https://a.example,*")), ("", Some("")), ("a.example", None)],
        );
        check(Kind::Proxies, &[("10.0.0.0/8, unix", Some("10.0.0.0/8,unix")), ("", Some("")), ("proxy.example", None)]);
        check(Kind::ForwardedHeader, &[("Forwarded", Some("forwarded")), ("x-real-ip", None), ("", None)]);
        check(Kind::PathPrefix, &[("/app/", Some("/app")), ("/", Some("/")), ("app", None), ("", None)]);
        check(Kind::PathOrOff, &[("off", Some("off")), ("", Some("off")), ("a b", Some("a b"))]);
        check(
            Kind::LogLevel,
            &[("info,aaw_server=debug", Some("info,aaw_server=debug")), ("", None), ("a=loud", None)],
        );
    }

    #[test]
    fn an_error_does_not_repeat_the_value() {
        for (kind, text) in [
            (Kind::Origins, "a.example"),
            (Kind::Hosts, "https://a.example"),
            (Kind::Addresses, "localhost:x"),
            (Kind::Proxies, "proxy.example"),
            (Kind::ForwardedHeader, "x-real-ip"),
            (Kind::PathPrefix, "app"),
            (Kind::Domains, "*.a.example"),
            (Kind::EmailOrNone, "mailto:a@b.example"),
            (Kind::DirectoryUrl, "http://ca.example/dir"),
        ] {
            let error = kind.parse(text).expect_err(text);
            assert!(error.contains("expected") && !error.contains(&format!("{text:?}")), "{error}");
        }
        let error = Kind::Addresses.parse("[::]:443,localhost:x").expect_err("one is invalid");
        assert!(error.starts_with("\"localhost:x\": the port is no number"), "{error}");
    }

    #[test]
    fn settings_of_acme_are_names_an_address_and_a_url() {
        let names =
            [("a.example, b.example", Some("a.example,b.example")), ("", Some("")), ("127.0.0.1", None), ("a b", None)];
        check(Kind::Domains, &names);
        check(Kind::EmailOrNone, &[("a@b.example", Some("a@b.example")), ("", Some("")), ("a", None), ("a@", None)]);
        check(Kind::DirectoryUrl, &[("https://ca.example/dir", Some("https://ca.example/dir")), ("https://", None)]);
    }

    #[test]
    fn texts_are_quoted_for_toml() {
        assert_eq!(quote("a\"b\\c\n"), r#""a\"b\\c\u000A""#);
        assert_eq!(Kind::Number(0, MAX).to_toml(&Value::Number(u64::MAX)), "\"18446744073709551615\"");
    }
}
