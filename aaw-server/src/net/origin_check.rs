//! Which requests may connect, decided from their `Origin`, and from the host and the scheme of their target.
//!
//! Browsers send the origin of the page that makes a request in `Origin` (RFC 6454); programs send no such header. The
//! peer's address proves nothing: behind a proxy every peer is loopback.
//!
//! A page whose own name begins to resolve to this server (DNS rebinding) has an origin that is the same as the host it
//! requests. Therefore the host must be one that only this server can have: an IP address, a name of the machine itself, or
//! a name that the config lists or the server's certificate is for.

use aaw_protocol::Shortened;

use crate::allowed_host::AllowedHost;
use crate::config::{Config, ListenAddress};
use crate::net::effective_target::EffectiveTarget;
use crate::origin::{AllowedOrigin, Authority, Origin};

/// Why a request is rejected. The text is the body of the response, and is logged. What it advises is complete: hosts and
/// origins that are parsed have a limited length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginCheckError {
    #[error("Expected one valid Host header")]
    InvalidHost,
    #[error(
        "The host {host:?} is not a name of this server. If requests for it should be served, start the server with {advice}"
    )]
    ForeignHost {
        host: String,
        /// The flag that allows the host, with its value.
        advice: String,
    },
    #[error("The origin {0:?} is not allowed. To allow pages of that origin, start the server with --allow-origin {0}")]
    ForeignOrigin(String),
    #[error(
        "The origin {origin:?} is not allowed: its host is that of the request, but the request arrived over {scheme}. If a \
         proxy in front of the server changes the scheme, start the server with the proxy's address in --trusted-proxy, or with \
         --allow-origin {origin}"
    )]
    OtherScheme { origin: String, scheme: &'static str },
    #[error(
        "The origin null is not allowed: the page is a local file, or sandboxed. Serve it from an http or https address; \
         or, since pages of any site can have that origin, only on a machine of your own: start the server with \
         --allow-origin null"
    )]
    NullOrigin,
    #[error("The origin {0:?} is not allowed, and not valid: expected one like https://app.example.com")]
    InvalidOrigin(String),
}

/// The rules of one server.
#[derive(Debug, Clone, Default)]
pub(crate) struct OriginCheck {
    /// The names that the server listens on.
    own_names: Vec<Authority>,
    hosts: Vec<AllowedHost>,
    origins: Vec<AllowedOrigin>,
    /// Its certificate names hosts, and may change.
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::Tls>,
}

impl OriginCheck {
    pub(crate) fn new(config: &Config) -> Self {
        let listened = config.listen.iter().filter_map(|address| match address {
            ListenAddress::Tcp { host, .. } => Some(host.as_str()),
            ListenAddress::Unix(_) => None,
        });
        let own_host = config.listen.is_empty().then(|| config.bare_host());
        let hosts = listened.chain(own_host).filter_map(Authority::parse);
        Self {
            own_names: hosts.filter(|host| !host.is_ip()).collect(),
            hosts: config.allow_hosts.clone(),
            origins: config.allow_origins.clone(),
            #[cfg(feature = "tls")]
            tls: config.tls.clone(),
        }
    }

    /// Checks the `Origin` and the host of a request. A request without an `Origin` passes if its host does.
    pub(crate) fn check(&self, origin: Option<&str>, target: &EffectiveTarget<'_>) -> Result<(), OriginCheckError> {
        let host = target.host.as_deref().and_then(Authority::parse).ok_or(OriginCheckError::InvalidHost)?;
        let parsed = origin.map(Origin::parse);
        if !self.is_own_host(&host) {
            // Allowing the origin of a page of that host allows both. It has the port, which the host that a proxy passes on
            // may lack.
            let page = parsed.flatten().filter(|origin| origin.has_name_of(&host));
            let advice = page
                .map_or_else(|| format!("--allow-host {}", host.name()), |origin| format!("--allow-origin {origin}"));
            return Err(OriginCheckError::ForeignHost { host: host.to_string(), advice });
        }
        let (Some(origin), Some(parsed)) = (origin, parsed) else { return Ok(()) };
        if self.origins.iter().any(AllowedOrigin::allows_all) {
            return Ok(());
        }
        let Some(parsed) = parsed else {
            return Err(OriginCheckError::InvalidOrigin(Shortened(origin).to_string()));
        };
        let has_same_host = parsed.is_at(&host);
        let is_same = has_same_host && parsed.has_scheme(target.scheme);
        let are_both_loopback = parsed.is_loopback_page() && host.is_loopback();
        if is_same || are_both_loopback || self.origins.iter().any(|allowed| allowed.allows(&parsed)) {
            return Ok(());
        }
        Err(match parsed {
            // A sandboxed page of any site has it, so that whoever allows it allows nearly all.
            Origin::Null => OriginCheckError::NullOrigin,
            parsed if has_same_host => {
                OriginCheckError::OtherScheme { origin: parsed.to_string(), scheme: target.scheme.as_str() }
            }
            parsed => OriginCheckError::ForeignOrigin(parsed.to_string()),
        })
    }

    /// Whether requests may name this host.
    fn is_own_host(&self, host: &Authority) -> bool {
        host.is_ip()
            || host.is_loopback()
            || self.own_names.iter().any(|own| own.name() == host.name())
            || self.hosts.iter().any(|allowed| allowed.allows(host))
            || self.origins.iter().any(|allowed| allowed.names_host(host))
            || self.is_in_certificate(host)
    }

    #[cfg(feature = "tls")]
    fn is_in_certificate(&self, host: &Authority) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.names_host(host.name()))
    }

    #[cfg(not(feature = "tls"))]
    fn is_in_certificate(&self, _: &Authority) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Scheme;

    type Checked = Result<(), OriginCheckError>;

    /// A server that allows these origins and hosts.
    fn server(origins: &[&str], hosts: &[&str]) -> OriginCheck {
        OriginCheck::new(&Config {
            allow_origins: origins.iter().map(|text| text.parse().expect("an origin")).collect(),
            allow_hosts: hosts.iter().map(|text| text.parse().expect("a host")).collect(),
            ..Config::default()
        })
    }

    /// A server that allows these origins only.
    fn allowing(origins: &[&str]) -> OriginCheck {
        server(origins, &[])
    }

    impl OriginCheck {
        /// Checks a request over `http`.
        fn over_http(&self, origin: Option<&str>, host: Option<&str>) -> Checked {
            self.check(origin, &EffectiveTarget { scheme: Scheme::Http, host: host.map(Into::into) })
        }

        fn over_https(&self, origin: &str, host: &str) -> Checked {
            self.check(Some(origin), &EffectiveTarget { scheme: Scheme::Https, host: Some(host.into()) })
        }
    }

    /// What the error advises.
    fn advice(checked: Checked) -> (String, String) {
        let text = checked.expect_err("not allowed yet").to_string();
        let mut words = text.rsplit(' ').map(str::to_owned);
        let value = words.next().unwrap_or_default();
        (words.next().unwrap_or_default(), value)
    }

    #[test]
    fn a_request_without_an_origin_passes_if_its_host_does() {
        let server = allowing(&[]);
        for host in
            ["localhost:1337", "127.0.0.1", "192.168.1.1:8080", "[2001:db8::1]:1337", "x.localhost", "LocalHost."]
        {
            assert_eq!(server.over_http(None, Some(host)), Ok(()), "{host}");
        }
        for host in
            ["evil.example:1337", "127.0.0.1.evil.example", "localhost.evil.example", "localhostx", "1337", "0x7f.1"]
        {
            let checked = server.over_http(None, Some(host));
            assert!(matches!(checked, Err(OriginCheckError::ForeignHost { .. })), "{host}: {checked:?}");
        }
        assert_eq!(server.over_http(None, None), Err(OriginCheckError::InvalidHost));
        assert_eq!(server.over_http(None, Some("a b")), Err(OriginCheckError::InvalidHost));
    }

    #[test]
    fn a_host_is_allowed_by_its_name_and_its_port_does_not_matter() {
        let named = server(&[], &["api.example.com", "*.app.example"]);
        for host in ["api.example.com", "API.example.com.:8080", "one.app.example"] {
            assert_eq!(named.over_http(None, Some(host)), Ok(()), "{host}");
        }
        for host in ["example.com", "www.api.example.com", "app.example"] {
            assert!(named.over_http(None, Some(host)).is_err(), "{host}");
        }
        assert_eq!(server(&[], &["*"]).over_http(None, Some("evil.example")), Ok(()));
        // Allowing a host allows its own pages, and no others.
        assert_eq!(named.over_http(Some("http://api.example.com"), Some("api.example.com")), Ok(()));
        assert!(named.over_http(Some("http://one.app.example"), Some("api.example.com")).is_err());
        assert!(server(&[], &["*"]).over_http(Some("http://a.example"), Some("b.example")).is_err());
    }

    #[test]
    fn the_name_that_the_server_listens_on_is_allowed() {
        let listening_on = |host: &str| OriginCheck::new(&Config { host: host.into(), ..Config::default() });
        assert_eq!(listening_on("Server.example").over_http(None, Some("server.example:1337")), Ok(()));
        assert!(listening_on("server.example").over_http(None, Some("x.server.example")).is_err());
        for host in ["0.0.0.0", "::", "[::1]", "127.0.0.1"] {
            assert!(listening_on(host).over_http(None, Some("server.example")).is_err(), "{host}");
        }
    }

    #[test]
    fn a_page_of_the_same_scheme_host_and_port_passes() {
        let server = server(&[], &["api.example.com"]);
        for (origin, host) in [
            ("http://api.example.com", "api.example.com"),
            ("http://api.example.com", "API.example.com:80"),
            ("http://10.0.0.7:1337", "10.0.0.7:1337"),
            ("http://[2001:db8::1]:1337", "[2001:db8::1]:1337"),
        ] {
            assert_eq!(server.over_http(Some(origin), Some(host)), Ok(()), "{origin} at {host}");
        }
        for (origin, host) in [
            ("https://api.example.com", "api.example.com"),
            ("https://api.example.com", "api.example.com:443"),
            ("https://10.0.0.7:1337", "10.0.0.7:1337"),
        ] {
            assert_eq!(server.over_https(origin, host), Ok(()), "{origin} at {host}");
        }
    }

    #[test]
    fn a_page_of_another_scheme_is_told_what_allows_it() {
        let closed = server(&[], &["api.example.com"]);
        let (origin, host) = ("https://api.example.com", "api.example.com");
        let rejected = closed.over_http(Some(origin), Some(host));
        assert_eq!(rejected, Err(OriginCheckError::OtherScheme { origin: origin.into(), scheme: "http" }));
        assert_eq!(advice(rejected), ("--allow-origin".into(), origin.into()));
        assert_eq!(server(&[origin], &[]).over_http(Some(origin), Some(host)), Ok(()));
        let rejected = closed.over_https("http://api.example.com", host);
        assert_eq!(advice(rejected), ("--allow-origin".into(), "http://api.example.com".into()));
    }

    #[test]
    fn a_page_of_another_origin_is_rejected() {
        let server = server(&[], &["api.example.com"]);
        for (origin, host) in [
            ("https://evil.example", "api.example.com"),
            ("http://api.example.com:8080", "api.example.com:1337"),
            ("http://api.example.com.evil.example", "api.example.com"),
            ("http://localhost:5173", "api.example.com"),
            ("http://api.example.com:443", "api.example.com"),
            ("file://", "api.example.com"),
            ("chrome-extension://abcdef", "api.example.com"),
        ] {
            let checked = server.over_http(Some(origin), Some(host));
            assert!(matches!(checked, Err(OriginCheckError::ForeignOrigin(_))), "{origin} at {host}: {checked:?}");
        }
        for origin in ["not an origin", "", "http://", "file:///etc/passwd", "https://a.example https://b.example"] {
            let checked = server.over_http(Some(origin), Some("api.example.com"));
            assert_eq!(checked, Err(OriginCheckError::InvalidOrigin(origin.into())), "{origin}");
        }
        assert_eq!(server.over_http(Some("null"), Some("api.example.com")), Err(OriginCheckError::NullOrigin));
    }

    #[test]
    fn a_page_on_any_loopback_port_passes_at_a_loopback_host() {
        let local = allowing(&[]);
        for (origin, host) in [
            ("http://localhost:5173", "localhost:1337"),
            ("http://127.0.0.1:5173", "localhost:1337"),
            ("https://localhost:5173", "localhost:1337"),
            ("http://app.localhost", "[::1]:1337"),
            ("http://localhost:5173", "[::ffff:127.0.0.1]:1337"),
        ] {
            assert_eq!(local.over_http(Some(origin), Some(host)), Ok(()), "{origin} at {host}");
        }
        assert!(local.over_http(Some("chrome-extension://localhost"), Some("localhost:1337")).is_err());
    }

    #[test]
    fn a_foreign_host_is_told_what_allows_it() {
        let local = allowing(&[]);
        let rejected = |advice: &str| {
            Err(OriginCheckError::ForeignHost { host: "evil.example:1337".into(), advice: advice.into() })
        };
        for (origin, advice) in [
            (None, "--allow-host evil.example"),
            (Some("https://x.example"), "--allow-host evil.example"),
            (Some("http://evil.example:1337"), "--allow-origin http://evil.example:1337"),
        ] {
            assert_eq!(local.over_http(origin, Some("evil.example:1337")), rejected(advice), "{origin:?}");
        }
    }

    #[test]
    fn an_allowed_origin_passes_and_similar_ones_do_not() {
        let local = allowing(&["https://app.example.com", "http://dev.example:5173"]);
        assert_eq!(local.over_http(Some("https://app.example.com"), Some("localhost:1337")), Ok(()));
        assert_eq!(local.over_http(Some("https://app.example.com"), Some("app.example.com")), Ok(()));
        assert_eq!(local.over_http(Some("http://dev.example:5173"), Some("127.0.0.1:1337")), Ok(()));
        assert!(local.over_http(Some("http://app.example.com"), Some("localhost:1337")).is_err());
        assert!(local.over_http(Some("http://dev.example:5174"), Some("localhost:1337")).is_err());
        assert_eq!(local.over_http(Some("null"), Some("localhost")), Err(OriginCheckError::NullOrigin));
    }

    #[test]
    fn a_host_without_the_port_of_its_origin_is_named_by_the_origin_and_can_be_allowed() {
        // A proxy on port 8443 that passes on the name only.
        let (origin, host) = ("https://api.example.org:8443", "api.example.org");
        let (flag, advised) = advice(allowing(&[]).over_http(Some(origin), Some(host)));
        assert_eq!((&*flag, &*advised), ("--allow-origin", origin));
        let allowing = allowing(&[&advised]);
        assert_eq!(allowing.over_http(Some(origin), Some(host)), Ok(()));
        assert_eq!(allowing.over_http(None, Some(host)), Ok(()));
        assert!(allowing.over_http(Some("https://api.example.org"), Some("localhost")).is_err());
    }

    #[test]
    fn whatever_is_advised_can_be_allowed() {
        let long = format!("https://{}.example", "x".repeat(240));
        for (origin, host) in [
            ("null", "localhost:1337"),
            ("file://", "localhost:1337"),
            ("chrome-extension://abcdef", "localhost:1337"),
            ("HTTPS://App.Example:443", "localhost:1337"),
            ("https://app.example.", "localhost:1337"),
            ("http://[2001:db8::1]:80", "localhost:1337"),
            (&long, "localhost:1337"),
            (&long, &long["https://".len()..]),
            ("https://app.example", "api.example:1337"),
            ("https://app.example", "app.example"),
        ] {
            let (mut origins, mut hosts) = (Vec::new(), Vec::new());
            let check = |origins: &[String], hosts: &[String]| {
                let origins: Vec<_> = origins.iter().map(String::as_str).collect();
                let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
                server(&origins, &hosts).over_http(Some(origin), Some(host))
            };
            // A foreign host and a foreign origin are advised one after the other.
            while let Err(error) = check(&origins, &hosts) {
                assert!(origins.len() + hosts.len() < 2, "{origin} at {host}: {error}");
                let (flag, value) = advice(Err(error));
                if flag == "--allow-host" { hosts.push(value) } else { origins.push(value) }
            }
        }
    }

    #[test]
    fn null_and_schemes_without_a_host_pass_if_they_are_allowed() {
        for origin in ["null", "file://"] {
            let local = allowing(&[origin]);
            assert_eq!(local.over_http(Some(origin), Some("localhost:1337")), Ok(()), "{origin}");
            assert!(local.over_http(Some("https://any.example"), Some("localhost:1337")).is_err());
            assert!(local.over_http(Some("content://"), Some("localhost:1337")).is_err());
            assert!(local.over_http(None, Some("evil.example")).is_err());
        }
    }

    #[test]
    fn a_star_allows_every_origin_but_no_foreign_host() {
        let local = allowing(&["*"]);
        assert_eq!(local.over_http(Some("https://any.example"), Some("localhost:1337")), Ok(()));
        for origin in ["null", "file://", "chrome-extension://abcdef", "anything"] {
            assert_eq!(local.over_http(Some(origin), Some("localhost:1337")), Ok(()), "{origin}");
        }
        assert!(local.over_http(Some("http://evil.example"), Some("evil.example")).is_err());
    }
}
