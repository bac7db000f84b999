//! Decides whether a connection is admitted: by the number of all connections, and by what its address may do.

use std::net::IpAddr;
use std::time::Instant;

use aaw_protocol::{Code, Failure, codec};
use hyper::StatusCode;

use crate::address_limits::{AddressRefusal, ConnectionLimit};
use crate::hub::ConnectionPermit;
use crate::net::context::ServerContext;
use crate::trusted_proxy::{Peer, PeerText};

/// When a client may come back that the server has no connection for, in seconds.
const FULL_RETRY: u64 = 5;

/// The connections that an address may have however few are free, at most; and, of a server with few, which part of all of them.
const LEAST_OF_ADDRESS: usize = 64;
const LEAST_PART: usize = 64;

/// Why a connection is refused, and when its client may try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// 503 if the server has too many connections, 429 if the client's address has.
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    /// In seconds.
    pub(crate) retry_after: u64,
}

impl Refusal {
    /// The server has too many connections.
    pub(crate) fn full() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error: "The server has reached its limit of connections",
            retry_after: FULL_RETRY,
        }
    }

    /// The failure, with the code `busy`.
    pub(crate) fn failure(&self) -> Failure {
        let data = serde_json::json!({ "retry_after": self.retry_after });
        Failure { data: serde_json::value::to_raw_value(&data).ok(), ..Failure::new(Code::BUSY, self.error) }
    }

    /// The response to a connection whose request is not read.
    pub(crate) fn response(&self) -> Vec<u8> {
        let body = self.body();
        let mut response = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: {}\r\n\
             connection: close\r\n\r\n",
            self.status,
            body.len(),
            self.retry_after,
        )
        .into_bytes();
        response.extend_from_slice(body.as_bytes());
        response
    }

    /// The body of a response, as JSON.
    pub(crate) fn body(&self) -> String {
        let mut body = Vec::new();
        codec::failure(&mut body, &self.failure());
        // Always valid: it is JSON.
        String::from_utf8(body).unwrap_or_default()
    }
}

impl From<AddressRefusal> for Refusal {
    fn from(AddressRefusal { error, retry_after }: AddressRefusal) -> Self {
        Self { status: StatusCode::TOO_MANY_REQUESTS, error, retry_after }
    }
}

/// Admits a connection of this peer. If that is a trusted proxy, the client's address is not known yet, and [`admit_address`]
/// follows when it is.
pub(crate) fn admit(shared: &ServerContext, peer: Peer) -> Result<ConnectionPermit, Refusal> {
    let mut permit = admit_any(shared)?;
    admit_client(shared, &mut permit, peer)?;
    Ok(permit)
}

/// Admits a connection by the number of all connections.
pub(crate) fn admit_any(shared: &ServerContext) -> Result<ConnectionPermit, Refusal> {
    shared.hub.admit(shared.config.load().max_connections).ok_or_else(Refusal::full)
}

/// Counts an admitted connection for the address of its peer, unless that is a trusted proxy.
pub(crate) fn admit_client(shared: &ServerContext, permit: &mut ConnectionPermit, peer: Peer) -> Result<(), Refusal> {
    match peer.address() {
        Some(address) if !peer.is_one_of(&shared.config.load().trusted_proxies) => {
            admit_address(shared, permit, address.ip())
        }
        _ => Ok(()),
    }
}

/// Counts an admitted connection, and its handshake, for the address of its client.
pub(crate) fn admit_address(
    shared: &ServerContext,
    permit: &mut ConnectionPermit,
    client: IpAddr,
) -> Result<(), Refusal> {
    let config = shared.config.load();
    let limit = match config.max_connections_per_address {
        None => {
            let free = shared.hub.free(config.max_connections);
            ConnectionLimit::Free(free.max(least_of_address(config.max_connections)))
        }
        Some(max) => ConnectionLimit::Max(max),
    };
    permit.set_address(shared.address_limits.connect(client.into(), limit, Instant::now())?);
    Ok(())
}

/// Returns the connections that an address may have however few are free. If the server has few, that is less, because some ten
/// addresses would take all of them. It is all if the server has less than an office would need.
fn least_of_address(max_connections: usize) -> usize {
    if max_connections <= LEAST_OF_ADDRESS {
        return max_connections;
    }
    (max_connections / LEAST_PART).clamp(1, LEAST_OF_ADDRESS)
}

/// Logs that a connection was refused, unless such lines are being throttled.
pub(crate) fn log_refusal(shared: &ServerContext, peer: Option<std::net::SocketAddr>, refusal: &Refusal) {
    if let Some(suppressed) = shared.dispatch.throttles.refused_connections.pass() {
        let peer = peer.map(PeerText).map(tracing::field::display);
        tracing::warn!(peer, suppressed, "refused a connection with {}: {}", refusal.status.as_u16(), refusal.error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_few_connections_however_few_are_free() {
        assert_eq!([2, 64, 65, 896, 65_536].map(least_of_address), [2, 64, 1, 14, 64]);
    }
}
