//! Decides whether a connection is admitted: by the number of all connections, and by what its address may do.

use std::net::IpAddr;
use std::time::Instant;

use aaw_protocol::{Code, Failure, codec};
use hyper::StatusCode;

use crate::address_limits::AddressRefusal;
use crate::hub::ConnectionPermit;
use crate::net::context::ServerContext;

/// When a client may come back that the server has no connection for, in seconds.
const FULL_RETRY: u64 = 5;

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
    /// The failure, with the code `busy`.
    pub(crate) fn failure(&self) -> Failure {
        let data = serde_json::json!({ "retry_after": self.retry_after });
        Failure { data: serde_json::value::to_raw_value(&data).ok(), ..Failure::new(Code::BUSY, self.error) }
    }

    /// The response to a connection whose request is not read.
    pub(crate) fn response(&self) -> Vec<u8> {
        let mut body = Vec::new();
        codec::failure(&mut body, &self.failure());
        let mut response = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: {}\r\n\
             connection: close\r\n\r\n",
            self.status,
            body.len(),
            self.retry_after,
        )
        .into_bytes();
        response.append(&mut body);
        response
    }
}

impl From<AddressRefusal> for Refusal {
    fn from(AddressRefusal { error, retry_after }: AddressRefusal) -> Self {
        Self { status: StatusCode::TOO_MANY_REQUESTS, error, retry_after }
    }
}

/// Admits a connection of this peer. A connection of which the client's address is not known yet, because its peer is a trusted
/// proxy, is admitted with `None`, and [`admit_address`] follows when the address is known.
pub(crate) fn admit(shared: &ServerContext, peer: Option<IpAddr>) -> Result<ConnectionPermit, Refusal> {
    let Some(mut permit) = shared.hub.admit(shared.config.load().max_connections) else {
        let error = "The server has reached its limit of connections";
        return Err(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, error, retry_after: FULL_RETRY });
    };
    if let Some(peer) = peer {
        admit_address(shared, &mut permit, peer)?;
    }
    Ok(permit)
}

/// Counts an admitted connection, and its handshake, for the address of its client.
pub(crate) fn admit_address(
    shared: &ServerContext,
    permit: &mut ConnectionPermit,
    client: IpAddr,
) -> Result<(), Refusal> {
    let free = shared.hub.free(shared.config.load().max_connections);
    permit.set_address(shared.address_limits.connect(client.into(), free, Instant::now())?);
    Ok(())
}

/// Logs that a connection was refused, unless such lines are being throttled.
pub(crate) fn log_refusal(shared: &ServerContext, peer: Option<std::net::SocketAddr>, refusal: &Refusal) {
    if let Some(suppressed) = shared.refusals.pass() {
        let peer = peer.map(tracing::field::display);
        tracing::warn!(peer, suppressed, "refused a connection with {}: {}", refusal.status.as_u16(), refusal.error);
    }
}
