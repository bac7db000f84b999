use aaw_event::prelude::*;

/// What the handler sees of the handshake.
pub async fn handler(_: Empty, services: Services) -> Result<Value> {
    let handshake = services.handshake()?;
    Ok(json!({
        "header": handshake.header("X-Test"),
        "cookie": handshake.cookie("session"),
        "query": handshake.query("room"),
        "host": handshake.host(),
        "path": handshake.path(),
        "peer": handshake.peer_addr().map(|peer| peer.ip()),
        "secure": handshake.is_secure(),
    }))
}
