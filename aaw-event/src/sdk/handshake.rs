//! The HTTP request that opened a connection, or that a call over HTTP is.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The HTTP request behind a call: the one that opened the WebSocket, or the one that the call itself is.
///
/// [`Services::handshake`](crate::Services::handshake) returns it, and so does [`OpenInfo::handshake`](crate::OpenInfo) in
/// `_open.rs` and `_resume.rs`. Headers, cookies and the query may contain secrets: [`Debug`] omits them, and the server
/// does not log them.
///
/// ```
/// use aaw_event::prelude::*;
///
/// # async fn user_of(_: &str) -> Option<Identity> { None }
/// // src/_open.rs
/// pub async fn handler(_: OpenInfo, services: Services) -> Result<()> {
///     let handshake = services.handshake()?;
///     if let Some(token) = handshake.cookie("token") {
///         let user = user_of(token).await.ok_or_else(|| Error::new("The log-in has expired"))?;
///         services.authenticate(user).await?;
///     }
///     Ok(())
/// }
/// ```
///
/// A test makes one with [`Handshake::new`] and the methods that begin with `with`, and passes it to
/// [`with_handshake`](crate::testing::TestServices::with_handshake).
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Handshake {
    peer: Option<SocketAddr>,
    secure: bool,
    host: Option<String>,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
}

impl Handshake {
    /// A request for this path, without anything else: for hosts, and for tests.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the query, as in the URL: `room=7&name=Ada%20L`.
    #[must_use]
    pub fn with_query(mut self, query: impl Into<String>) -> Self {
        self.query = Some(query.into());
        self
    }

    /// Sets the address of the client.
    #[must_use]
    pub fn with_peer_addr(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Sets the host, with its port if it has one.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Sets whether the client uses TLS.
    #[must_use]
    pub fn with_secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// The first value of a header. The case of the name does not matter. Bytes of the value that are not UTF-8 are
    /// replaced by U+FFFD.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).next()
    }

    /// All headers, in lower case, in the order in which they arrived as far as the server knows it. A header that
    /// occurs several times is there as often.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a cookie (RFC 6265), without the quotes around it if it has some; that of the first one if there are
    /// several of this name, which is the one with the most specific path. The case of the name matters.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.headers_named("cookie").flat_map(|value| value.split(';'));
        let mut cookies = pairs.filter_map(|pair| pair.split_once('='));
        let (_, value) = cookies.find(|(found, _)| found.trim() == name)?;
        let value = value.trim();
        Some(value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value))
    }

    /// The first value of a field of the query, decoded: `%20` and `+` are spaces.
    pub fn query(&self, name: &str) -> Option<String> {
        let query = self.query.as_deref().unwrap_or_default();
        let mut fields = form_urlencoded::parse(query.as_bytes());
        fields.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }

    /// The address and port of the client, or of a proxy that the server does not know. `None` where the server does not
    /// know it, as in an axum application without `ConnectInfo`.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The host that the client has connected to, with the port if the URL has one.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The path of the URL, without the query: `/`, unless the client has connected to another one.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the client uses TLS, as far as the server knows: behind a proxy that it does not know, `false`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    fn headers_named(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers().filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Omits the headers and the query.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("peer", &self.peer).field("host", &self.host).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_in_any_case_and_the_first_one_counts() {
        let handshake = Handshake::new("/").with_header("x-a", "1").with_header("x-b", "").with_header("x-a", "2");
        assert_eq!(
            (handshake.header("X-A"), handshake.header("x-b"), handshake.header("x-c")),
            (Some("1"), Some(""), None)
        );
        assert_eq!(handshake.headers().collect::<Vec<_>>(), [("x-a", "1"), ("x-b", ""), ("x-a", "2")]);
    }

    #[test]
    fn cookies_are_read_as_browsers_send_them() {
        let handshake = Handshake::new("/")
            .with_header("cookie", r#"a=1; token="q=x=="; b= ; a=2;c;=d; A=3"#)
            .with_header("cookie", "late=5;a=9");
        for (name, expected) in [
            ("a", Some("1")),
            ("token", Some("q=x==")),
            ("b", Some("")),
            ("c", None),
            ("A", Some("3")),
            ("late", Some("5")),
            ("x", None),
        ] {
            assert_eq!(handshake.cookie(name), expected, "{name}");
        }
        assert_eq!(Handshake::new("/").cookie("a"), None);
        assert_eq!(Handshake::new("/").with_header("cookie", "a=\"").cookie("a"), Some("\""));
    }

    #[test]
    fn the_query_is_decoded() {
        let handshake = Handshake::new("/x").with_query("name=Ada+L%2e&empty=&flag&name=2&%C3%A4=%ff");
        assert_eq!(handshake.query("name").as_deref(), Some("Ada L."));
        assert_eq!((handshake.query("empty").as_deref(), handshake.query("flag").as_deref()), (Some(""), Some("")));
        assert_eq!(handshake.query("ä").as_deref(), Some("\u{fffd}"));
        assert_eq!((handshake.query("Name"), Handshake::new("/").query("name")), (None, None));
    }

    #[test]
    fn debug_output_contains_no_header_and_no_query() {
        let handshake = Handshake::new("/").with_header("cookie", "token=secret").with_query("token=secret");
        assert!(!format!("{handshake:?}").contains("secret"));
    }

    #[test]
    fn unknown_fields_of_a_newer_host_are_accepted() {
        let json = r#"{"path":"/a","peer":"[::1]:80","weather":"fine"}"#;
        let expected = Handshake::new("/a").with_peer_addr(([0, 0, 0, 0, 0, 0, 0, 1], 80).into());
        assert_eq!(serde_json::from_str::<Handshake>(json).unwrap(), expected);
    }
}
