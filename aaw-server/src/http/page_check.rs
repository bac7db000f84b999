//! Whether a request may call an event, by what its headers tell about the page that has sent it.
//!
//! The middleware checks the `Origin` of each request that has one. Browsers send none with requests in the mode `no-cors`
//! that use GET or HEAD (Fetch, "append a request `Origin` header"): those for images, scripts, links and forms of any page.
//! So the absence of `Origin` does not tell a program from a foreign page. What does:
//!
//! - `Sec-Fetch-Site`, which no page can set. Browsers send it to `https` addresses and to localhost only.
//! - A header that requests in the mode `no-cors` cannot have (Fetch, "request-no-cors" header guard). With one, a page of
//!   another origin needs the mode `cors`, and with it an `Origin` and a preflight.
//!
//! What browsers add by themselves is no such header: `Accept`, `Range`, `Cache-Control`, `Cookie`, and `Authorization` with the
//! scheme `Basic`, of which they remember the password. `Accept: text/event-stream` proves nothing either, since a page may
//! set `Accept` in every mode. Android's WebView sends `X-Requested-With` with the name of its app, so that header counts
//! with the value of JavaScript libraries only.

use aaw_protocol::{Code, Failure};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, ORIGIN};

/// The header with which a client that can only use GET shows that it is not a foreign page.
const REQUESTED_WITH: &str = "x-requested-with";

/// Refuses a request that a browser declares to come from a page of another origin, but whose origin it does not tell. It
/// would bypass the check of origins.
pub(super) fn check_foreign(headers: &HeaderMap) -> Result<(), Failure> {
    let is_foreign = fetch_sites(headers).any(|site| site == b"cross-site" || site == b"same-site");
    if !is_foreign || headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let error = "A request from another site must have an Origin header, which images, scripts and links do not send. Use \
                 EventSource or fetch, and allow the page's origin with --allow-origin";
    Err(Failure::new(Code::NOT_ALLOWED, error))
}

/// Refuses a request to start a stream with GET that any page could have sent. [`check_foreign`] has passed it, and its
/// origin has been checked, if it has one.
pub(super) fn check_get(headers: &HeaderMap) -> Result<(), Failure> {
    let is_own_page = || fetch_sites(headers).any(|site| site == b"same-origin" || site == b"none");
    if headers.contains_key(ORIGIN) || is_own_page() || has_bearer(headers) || is_by_script(headers) {
        return Ok(());
    }
    let error = "A page of any site could have sent this GET. Read the stream with POST, or, for EventSource, declare the \
                 event: pub const EVENT_SOURCE: bool = true; in its file. A program that can only use GET sends the header \
                 X-Requested-With: XMLHttpRequest";
    Err(Failure::new(Code::NOT_ALLOWED, error))
}

fn fetch_sites(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all("sec-fetch-site").iter().map(|site| site.as_bytes())
}

/// Whether there is a bearer token, valid or not: browsers never add one.
fn has_bearer(headers: &HeaderMap) -> bool {
    let scheme = |value: &[u8]| value.split(|byte| *byte == b' ').next().unwrap_or_default().to_ascii_lowercase();
    headers.get_all(AUTHORIZATION).iter().any(|value| scheme(value.as_bytes()) == b"bearer")
}

fn is_by_script(headers: &HeaderMap) -> bool {
    headers.get_all(REQUESTED_WITH).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"XMLHttpRequest"))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_request_of_another_site_needs_an_origin() {
        for site in ["cross-site", "same-site"] {
            assert!(check_foreign(&headers(&[("sec-fetch-site", site)])).is_err(), "{site}");
            assert_eq!(check_foreign(&headers(&[("sec-fetch-site", site), ("origin", "https://a.example")])), Ok(()));
        }
        for site in ["same-origin", "none", "other"] {
            assert_eq!(check_foreign(&headers(&[("sec-fetch-site", site)])), Ok(()), "{site}");
        }
        assert_eq!(check_foreign(&HeaderMap::new()), Ok(()));
    }

    #[test]
    fn a_get_that_no_foreign_page_can_send_passes() {
        for header in [
            ("origin", "https://checked.example"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
            ("authorization", "Bearer abc"),
            ("authorization", "bearer"),
            ("x-requested-with", "XMLHttpRequest"),
        ] {
            assert_eq!(check_get(&headers(&[header])), Ok(()), "{header:?}");
        }
    }

    #[test]
    fn a_get_that_a_browser_can_send_for_any_page_is_refused() {
        for header in [
            ("accept", "image/avif,image/webp,*/*;q=0.8"),
            ("accept", "text/event-stream"),
            ("accept", "application/x-ndjson"),
            ("accept-language", "en"),
            ("authorization", "Basic dTpw"),
            ("authorization", "Bearerx abc"),
            ("cache-control", "no-cache"),
            ("content-type", "text/plain"),
            ("cookie", "a=b"),
            ("range", "bytes=0-"),
            ("referer", "http://localhost:1337/"),
            ("sec-fetch-site", "other"),
            ("x-requested-with", "org.example.app"),
        ] {
            assert!(check_get(&headers(&[header])).is_err(), "{header:?}");
        }
        let refused = check_get(&HeaderMap::new()).expect_err("as an old browser's image").error;
        assert!(refused.contains("POST") && refused.contains("EVENT_SOURCE"), "{refused}");
    }
}
