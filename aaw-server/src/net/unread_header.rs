//! A trusted proxy whose statements are not read.

use hyper::header::HeaderMap;

use crate::net::context::ServerContext;
use crate::trusted_proxy::Peer;

/// Warns of a proxy that states the client in the header that is not read: all of its clients share its address then.
pub(crate) fn warn_of_unread_header(peer: Peer, headers: &HeaderMap, shared: &ServerContext) {
    let read = shared.config.load().forwarded_header;
    let other = read.other();
    if !headers.contains_key(read.name())
        && headers.contains_key(other.name())
        && let Some(suppressed) = shared.dispatch.throttles.unread_headers.pass()
    {
        tracing::warn!(
            %peer,
            suppressed,
            "a trusted proxy has sent the header {other}, which is not read, and no {read}: the proxy itself counts as the \
             client; if the proxy sets {other}, start the server with --forwarded-header {other}"
        );
    }
}
