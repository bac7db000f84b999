//! The path below which a server is reached.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

use crate::readiness;

/// The path below which the server is reached, such as `/app`. The default is `/`.
///
/// A prefix consists of names with slashes between them: letters, digits and `-._~`. It begins with a slash; one at its end
/// may be left out.
///
/// ```
/// use aaw_server::config::PathPrefix;
///
/// let prefix: PathPrefix = "/app".parse()?;
/// assert!("app".parse::<PathPrefix>().is_err());
/// # Ok::<(), aaw_server::config::InvalidPathPrefix>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathPrefix(
    /// Without the slash at the end. `None` for `/`.
    Option<Arc<str>>,
);

/// The error of parsing a [`PathPrefix`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid path prefix {text:?}: {reason}; expected one like /app")]
pub struct InvalidPathPrefix {
    text: String,
    reason: &'static str,
}

/// Where a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Below {
    /// There is no prefix, so that every path is below it.
    Unchanged,
    /// Below the prefix. The target without it.
    Stripped(Uri),
    /// At the prefix itself, without a slash. The target is `/`.
    AtPrefix(Uri),
    /// Elsewhere.
    Outside,
}

impl PathPrefix {
    /// Removes the prefix from the target of a request.
    pub(crate) fn strip(&self, target: &Uri) -> Below {
        let Some(prefix) = &self.0 else { return Below::Unchanged };
        let (path, query) = (target.path(), target.query());
        // Probes are sent to the server itself, and not by way of the proxy.
        if readiness::is_probe(path) {
            return Below::Unchanged;
        }
        match path.strip_prefix(&**prefix) {
            Some("") => with_path(target, "/", query).map_or(Below::Outside, Below::AtPrefix),
            Some(rest) if rest.starts_with('/') => {
                with_path(target, rest, query).map_or(Below::Outside, Below::Stripped)
            }
            _ => Below::Outside,
        }
    }

    /// The prefix without a slash at its end; empty for `/`.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

/// The target with another path. Its parts were parsed before, so it is always valid.
fn with_path(target: &Uri, path: &str, query: Option<&str>) -> Option<Uri> {
    let path = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = target.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

impl FromStr for PathPrefix {
    type Err = InvalidPathPrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidPathPrefix { text: text.to_owned(), reason };
        let Some(names) = text.strip_prefix('/') else { return Err(invalid("it does not begin with a slash")) };
        let names = names.strip_suffix('/').unwrap_or(names);
        if text == "/" {
            return Ok(Self::default());
        }
        for name in names.split('/') {
            if matches!(name, "" | "." | "..") {
                return Err(invalid("a name between two slashes is empty, . or .."));
            }
            if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
                return Err(invalid("it has characters other than letters, digits and -._~"));
            }
        }
        Ok(Self(Some(format!("/{names}").into())))
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip(prefix: &str, target: &str) -> Option<String> {
        let prefix: PathPrefix = prefix.parse().expect("a prefix");
        match prefix.strip(&target.parse().expect("a target")) {
            Below::Unchanged => Some(target.to_owned()),
            Below::Stripped(uri) => Some(uri.to_string()),
            Below::AtPrefix(uri) => Some(format!("at {uri}")),
            Below::Outside => None,
        }
    }

    #[test]
    fn only_what_is_below_the_prefix_is_served() {
        for (target, expected) in [
            ("/app/", Some("/")),
            ("/app", Some("at /")),
            ("/app?x=1", Some("at /?x=1")),
            ("/app/events/a/b?body=%7B%7D", Some("/events/a/b?body=%7B%7D")),
            ("/app//x", Some("//x")),
            ("http://api.example.org:81/app/x", Some("http://api.example.org:81/x")),
            ("/healthz", Some("/healthz")),
            ("/app/healthz", Some("/healthz")),
            ("/", None),
            ("/apple", None),
            ("/events/app", None),
            ("/App/", None),
            ("/%61pp/", None),
            ("/x/../app/", None),
            ("*", None),
        ] {
            assert_eq!(strip("/app", target).as_deref(), expected, "{target}");
        }
        assert_eq!(strip("/a/b/", "/a/b/c").as_deref(), Some("/c"));
        assert_eq!(strip("/", "/events").as_deref(), Some("/events"));
    }

    #[test]
    fn the_error_of_an_invalid_prefix_says_what_is_wrong() {
        for (bad, reason) in [
            ("", "does not begin with a slash"),
            ("app", "does not begin with a slash"),
            ("https://example.org/app", "does not begin with a slash"),
            ("//", "empty"),
            ("/a//b", "empty"),
            ("/a/../b", ".."),
            ("/.", "."),
            ("/a b", "characters"),
            ("/a%20b", "characters"),
            ("/a?b", "characters"),
            ("/a#b", "characters"),
            ("/ä", "characters"),
            ("/{name}", "characters"),
        ] {
            let error = bad.parse::<PathPrefix>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("like /app"), "{bad}: {error}");
        }
        for (text, printed) in
            [("/", "/"), ("/app/", "/app"), ("/a/b-1._~", "/a/b-1._~"), ("/.well-known", "/.well-known")]
        {
            assert_eq!(text.parse::<PathPrefix>().expect("a prefix").to_string(), printed);
        }
        assert_eq!(PathPrefix::default().as_str(), "");
    }
}
