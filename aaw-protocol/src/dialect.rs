//! Negotiates the dialect of a connection by the WebSocket sub-protocols of its handshake (RFC 6455, section 1.9).

/// The sub-protocol that selects [`Dialect::V1`].
pub const V1: &str = "aaw.v1";

/// The dialect of a connection: which frames its peers exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The dialect of the JavaScript package `async-await-websockets`: a call is `[event, body]`, and so is its
    /// response.
    Classic,
    /// The dialect of aaw's clients and servers, with ids, kinds and a handshake of frames.
    V1,
}

/// The result of [`negotiate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated<'a> {
    /// The dialect of the connection.
    pub dialect: Dialect,
    /// The sub-protocol that the server's handshake response must select. Browsers and Bun fail a handshake that
    /// selects none of the offered ones, so it is `None` only if the client offered nothing.
    pub chosen: Option<&'a str>,
    /// The client key: the first offer other than [`V1`]. It labels the client in the log and authenticates nothing.
    pub client_key: Option<&'a str>,
}

/// Chooses a dialect for a server. `offered` is the value of the request's `Sec-WebSocket-Protocol` header; several
/// headers are joined by commas.
///
/// ```
/// use aaw_protocol::dialect::{self, Dialect};
/// let v1 = dialect::negotiate("_5d2c, aaw.v1");
/// assert_eq!((v1.dialect, v1.chosen, v1.client_key), (Dialect::V1, Some("aaw.v1"), Some("_5d2c")));
/// let classic = dialect::negotiate("5d2c");
/// assert_eq!((classic.dialect, classic.chosen), (Dialect::Classic, Some("5d2c")));
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

/// Returns the dialect of a client's connection. `chosen` is the sub-protocol that the server selected.
pub fn accepted(chosen: Option<&str>) -> Dialect {
    if chosen == Some(V1) { Dialect::V1 } else { Dialect::Classic }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_is_chosen_at_any_position_of_the_offer() {
        for offered in ["aaw.v1", "x, aaw.v1", "aaw.v1,x", " x ,y,aaw.v1 "] {
            assert_eq!(negotiate(offered).dialect, Dialect::V1, "{offered}");
            assert_eq!(negotiate(offered).chosen, Some(V1), "{offered}");
        }
    }

    #[test]
    fn an_offer_without_v1_selects_classic_and_the_first_sub_protocol() {
        assert_eq!(
            negotiate("a, b"),
            Negotiated { dialect: Dialect::Classic, chosen: Some("a"), client_key: Some("a") }
        );
        assert_eq!(negotiate(""), Negotiated { dialect: Dialect::Classic, chosen: None, client_key: None });
        assert_eq!(negotiate(" , "), Negotiated { dialect: Dialect::Classic, chosen: None, client_key: None });
    }

    #[test]
    fn the_choice_of_the_server_decides_the_dialect_of_the_client() {
        assert_eq!(accepted(Some(V1)), Dialect::V1);
        assert_eq!(accepted(Some("_5d2c")), Dialect::Classic);
        assert_eq!(accepted(None), Dialect::Classic);
    }
}
