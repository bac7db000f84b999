//! The address at which the client reaches the server, as far as the check of origins and hosts needs it.

use std::borrow::Cow;

use hyper::header::{HOST, HeaderMap};
use hyper::{Uri, Version};

use crate::net::forwarded::ClientInfo;
use crate::origin::Scheme;

/// The scheme and the host of a request's target, as its client sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EffectiveTarget<'a> {
    pub(crate) scheme: Scheme,
    /// Not parsed, with the port if the request has one; `None` if the request names no host.
    pub(crate) host: Option<Cow<'a, str>>,
}

impl<'a> EffectiveTarget<'a> {
    /// Returns the target of a request of this client, which arrived over a connection of this scheme. This is the only place
    /// that decides what the host and the scheme of a request are. What a trusted proxy states of them takes precedence.
    ///
    /// HTTP/2 states the scheme in each request (RFC 9113, 8.3.1). An absolute target of HTTP/1.1 has one as well, and means
    /// nothing: the client writes it, not its TLS.
    pub(crate) fn of(
        client: &'a ClientInfo,
        connection: Scheme,
        version: Version,
        headers: &'a HeaderMap,
        uri: &'a Uri,
    ) -> Self {
        let stated = uri.scheme_str().filter(|_| version >= Version::HTTP_2);
        let is_https = connection == Scheme::Https || stated == Some(Scheme::Https.as_str());
        let of_request = if is_https { Scheme::Https } else { Scheme::Http };
        Self {
            scheme: client.scheme.unwrap_or(of_request),
            host: client.host.as_deref().map(Cow::Borrowed).or_else(|| named_host(headers, uri)),
        }
    }
}

/// The host that a request names. That of an absolute request target takes precedence over the `Host` header (RFC 9112,
/// 3.2.2). HTTP/2 has it in the target (`:authority`), and only some clients repeat it in the header.
pub(crate) fn named_host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<Cow<'a, str>> {
    let header = || headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
    uri.authority().map(|host| host.as_str().into()).or_else(header)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn target(connection: Scheme, version: Version, host: Option<&'static str>, uri: &str) -> (Scheme, Option<String>) {
        let headers = host.map(|host| (HOST, HeaderValue::from_static(host))).into_iter().collect();
        let uri = uri.parse().expect("a target");
        let client = ClientInfo::default();
        let EffectiveTarget { scheme, host } = EffectiveTarget::of(&client, connection, version, &headers, &uri);
        (scheme, host.map(Cow::into_owned))
    }

    #[test]
    fn what_a_trusted_proxy_states_takes_precedence() {
        let headers = [(HOST, HeaderValue::from_static("internal"))].into_iter().collect();
        let uri = "/".parse().expect("a target");
        let of = |scheme, host: Option<&str>| {
            let client = ClientInfo { scheme, host: host.map(str::to_owned), ..ClientInfo::default() };
            let EffectiveTarget { scheme, host } =
                EffectiveTarget::of(&client, Scheme::Http, Version::HTTP_11, &headers, &uri);
            (scheme, host.map(Cow::into_owned))
        };
        assert_eq!(of(Some(Scheme::Https), Some("a.example:1")), (Scheme::Https, Some("a.example:1".into())));
        assert_eq!(of(Some(Scheme::Https), None), (Scheme::Https, Some("internal".into())));
        assert_eq!(of(None, Some("a.example")), (Scheme::Http, Some("a.example".into())));
        let client = ClientInfo { scheme: Some(Scheme::Http), ..ClientInfo::default() };
        let target = EffectiveTarget::of(&client, Scheme::Https, Version::HTTP_11, &headers, &uri);
        assert_eq!(target.scheme, Scheme::Http, "a proxy that encrypts what it has received over plain HTTP");
    }

    #[test]
    fn the_host_of_an_absolute_target_takes_precedence() {
        let host = |host, uri| target(Scheme::Http, Version::HTTP_11, host, uri).1;
        assert_eq!(host(Some("a.example:1"), "/"), Some("a.example:1".into()));
        assert_eq!(host(Some("a.example"), "http://b.example:2/x"), Some("b.example:2".into()));
        assert_eq!(host(None, "http://b.example/"), Some("b.example".into()), "as in HTTP/2");
        assert_eq!(host(None, "/"), None);
    }

    #[test]
    fn the_scheme_is_that_of_the_connection_and_http_2_may_state_https() {
        let scheme = |connection, version, uri| target(connection, version, Some("a.example"), uri).0;
        assert_eq!(scheme(Scheme::Http, Version::HTTP_11, "/"), Scheme::Http);
        assert_eq!(scheme(Scheme::Http, Version::HTTP_11, "https://a.example/"), Scheme::Http);
        assert_eq!(scheme(Scheme::Http, Version::HTTP_2, "https://a.example/"), Scheme::Https);
        assert_eq!(scheme(Scheme::Http, Version::HTTP_2, "http://a.example/"), Scheme::Http);
        assert_eq!(scheme(Scheme::Https, Version::HTTP_11, "/"), Scheme::Https);
    }
}
