//! Which dialect a connection speaks, decided by the WebSocket sub-protocols of its handshake (RFC 6455, 1.9).

/// The sub-protocol that stands for [`Dialect::V1`].
pub const V1: &str = "aaw.v1";

/// How two peers talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As the JavaScript package `async-await-websockets` does: `[event, body]` and its answer.
    Classic,
    /// With ids, kinds and a greeting: what our own clients and servers speak.
    V1,
}

/// What a server makes of the sub-protocols a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated<'a> {
    /// The dialect from here on.
    pub dialect: Dialect,
    /// What the handshake's answer names as chosen. Browsers and Bun fail a handshake that chose nothing of what they
    /// offered, so there is always one when anything was offered.
    pub chosen: Option<&'a str>,
    /// The text by which the client tells itself apart: the first offer that is not ours. For the log; it proves
    /// nothing.
    pub client_key: Option<&'a str>,
}

/// The server's side: `offered` is the value of `Sec-WebSocket-Protocol`, several headers joined by commas.
///
/// ```
/// use aaw_protocol::dialect::{self, Dialect};
/// let ours = dialect::negotiate("_5d2c, aaw.v1");
/// assert_eq!((ours.dialect, ours.chosen, ours.client_key), (Dialect::V1, Some("aaw.v1"), Some("_5d2c")));
/// let theirs = dialect::negotiate("5d2c");
/// assert_eq!((theirs.dialect, theirs.chosen), (Dialect::Classic, Some("5d2c")));
/// ```
pub fn negotiate(offered: &str) -> Negotiated<'_> {
    let offers = || offered.split(',').map(str::trim).filter(|offer| !offer.is_empty());
    let client_key = offers().find(|offer| *offer != V1);
    if offers().any(|offer| offer == V1) {
        Negotiated { dialect: Dialect::V1, chosen: Some(V1), client_key }
    } else {
        Negotiated { dialect: Dialect::Classic, chosen: client_key, client_key }
    }
}

/// The client's side: what the server chose decides.
pub fn accepted(chosen: Option<&str>) -> Dialect {
    if chosen == Some(V1) { Dialect::V1 } else { Dialect::Classic }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_found_wherever_it_stands() {
        for offered in ["aaw.v1", "x, aaw.v1", "aaw.v1,x", " x ,y,aaw.v1 "] {
            assert_eq!(negotiate(offered).dialect, Dialect::V1, "{offered}");
            assert_eq!(negotiate(offered).chosen, Some(V1), "{offered}");
        }
    }

    #[test]
    fn others_are_classic_and_the_first_is_echoed() {
        assert_eq!(
            negotiate("a, b"),
            Negotiated { dialect: Dialect::Classic, chosen: Some("a"), client_key: Some("a") }
        );
        assert_eq!(negotiate(""), Negotiated { dialect: Dialect::Classic, chosen: None, client_key: None });
        assert_eq!(negotiate(" , "), Negotiated { dialect: Dialect::Classic, chosen: None, client_key: None });
    }

    #[test]
    fn a_client_speaks_what_the_server_chose() {
        assert_eq!(accepted(Some(V1)), Dialect::V1);
        assert_eq!(accepted(Some("_5d2c")), Dialect::Classic);
        assert_eq!(accepted(None), Dialect::Classic);
    }
}
