//! The host names under which a server may be reached, as the config lists them.

use std::fmt;
use std::str::FromStr;

use crate::origin::Authority;

/// A host name under which requests may reach the server, in the form of `--allow-host`:
///
/// - `api.example.com`, with any port;
/// - `*.example.com` for every name below `example.com`, but not for that name itself;
/// - `*` for every name, which gives up the protection against DNS rebinding.
///
/// Names are ASCII, as browsers send them: `xn--bcher-kva.example` for `bücher.example`.
///
/// ```
/// use aaw_server::config::AllowedHost;
///
/// let host: AllowedHost = "api.example.com".parse()?;
/// assert!("https://api.example.com".parse::<AllowedHost>().is_err());
/// # Ok::<(), aaw_server::config::InvalidHost>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    /// Without the leading `*.`.
    Below(String),
    Exact(String),
}

/// The error of parsing an [`AllowedHost`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid host {0:?}: expected a host name without scheme, port and path, such as api.example.com, or *.example.com \
     for all names below it, or * for all"
)]
pub struct InvalidHost(String);

impl AllowedHost {
    pub(crate) fn allows(&self, host: &Authority) -> bool {
        match &self.0 {
            Pattern::Any => true,
            Pattern::Exact(name) => host.name() == name,
            Pattern::Below(domain) => host
                .name()
                .strip_suffix(domain.as_str())
                .and_then(|below| below.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty()),
        }
    }
}

impl FromStr for AllowedHost {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self(Pattern::Any));
        }
        let (name, pattern): (_, fn(String) -> Pattern) = match text.strip_prefix("*.") {
            Some(domain) => (domain, Pattern::Below),
            None => (text, Pattern::Exact),
        };
        // A colon outside of brackets begins a port, even an empty one.
        let has_port = name.contains(':') && !name.ends_with(']');
        let host = Authority::parse(name).filter(|_| !has_port).ok_or_else(|| InvalidHost(text.into()))?;
        Ok(Self(pattern(host.name().to_owned())))
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Any => f.write_str("*"),
            Pattern::Below(domain) => write!(f, "*.{domain}"),
            Pattern::Exact(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_without_scheme_port_and_path() {
        for bad in
            ["", "*.", "https://a.example", "a.example:80", "a.example:", "a/b", "a b", "u@a", "*a", "bücher", "."]
        {
            let error = bad.parse::<AllowedHost>().expect_err(bad).to_string();
            assert!(error.contains("without scheme, port and path"), "{error}");
        }
        for (text, printed) in [
            ("API.Example.com.", "api.example.com"),
            ("*", "*"),
            ("*.Example.com", "*.example.com"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(text.parse::<AllowedHost>().map(|host| host.to_string()), Ok(printed.into()));
        }
    }

    #[test]
    fn a_host_allows_its_name_with_any_port_and_a_pattern_the_names_below() {
        let allows = |pattern: &str, host: &str| {
            let host = Authority::parse(host).expect("a host");
            pattern.parse::<AllowedHost>().expect("a pattern").allows(&host)
        };
        for host in ["a.example", "A.EXAMPLE:8080", "a.example."] {
            assert!(allows("a.example", host) && allows("*.example", host) && allows("*", host), "{host}");
        }
        for host in ["b.a.example", "a.example.evil", "xa.example", "example"] {
            assert!(!allows("a.example", host), "{host}");
        }
        for host in ["example", "xexample", ".example", "a.example.evil"] {
            assert!(!allows("*.example", host), "{host}");
        }
    }
}
