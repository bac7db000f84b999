//! Limits log lines that remote peers can cause, by kind, so that they cannot flood the log.
//!
//! What a peer can cause on a server has its throttle in [`LogThrottles`]. What a fault of a handler causes has one at the
//! place where it is logged, for the whole process: [`log_throttled`].

pub(crate) use aaw_event::__log_throttled as log_throttled;
pub(crate) use aaw_event::throttle::{EventThrottle, Throttle};

/// The throttles of one server for what its peers can cause, by the kind of the line.
#[derive(Debug)]
pub(crate) struct LogThrottles {
    /// Accepting a connection failed.
    pub(crate) accept_errors: Throttle,
    /// A connection was refused, because of its number or its address.
    pub(crate) refused_connections: Throttle,
    /// A connection was refused because of the PROXY protocol.
    pub(crate) proxy_protocol: Throttle,
    /// A trusted proxy states its clients in a header that is not read.
    pub(crate) unread_headers: Throttle,
    /// A stream that is read by polling was dropped for a new one.
    #[cfg(feature = "http")]
    pub(crate) evicted_cursors: Throttle,
    /// A WebSocket handshake was refused.
    pub(crate) refused_handshakes: Throttle,
    /// An HTTP request was refused.
    pub(crate) refused_requests: Throttle,
    /// The first invalid frame of a connection.
    pub(crate) bad_frames: Throttle,
    /// `_open` refused a connection.
    pub(crate) open_refusals: Throttle,
    /// `_resume` refused a socket.
    pub(crate) resume_refusals: Throttle,
    /// A hook of connections failed.
    pub(crate) hook_failures: Throttle,
    /// A hook of connections did not end in time.
    pub(crate) hook_timeouts: Throttle,
}

impl LogThrottles {
    pub(crate) const fn new() -> Self {
        Self {
            accept_errors: Throttle::new(),
            refused_connections: Throttle::new(),
            proxy_protocol: Throttle::new(),
            unread_headers: Throttle::new(),
            #[cfg(feature = "http")]
            evicted_cursors: Throttle::new(),
            refused_handshakes: Throttle::new(),
            refused_requests: Throttle::new(),
            bad_frames: Throttle::of_several(),
            open_refusals: Throttle::of_several(),
            resume_refusals: Throttle::of_several(),
            hook_failures: Throttle::of_several(),
            hook_timeouts: Throttle::of_several(),
        }
    }
}
