//! The bounds of a session.

use std::time::Duration;

use crate::hello::Limits;

/// What a session holds to.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// What the client may send; the welcome tells it.
    pub limits: Limits,
    /// Bytes of answers waiting to go out, past which no further call is started, and past twice of which nothing more
    /// is read. Default 1 MiB. A client that does not read its answers can hold that much, and besides what the calls
    /// that already ran will answer: at most `limits.calls` times `limits.message`.
    pub unsent: usize,
    /// Bytes of the frames of calls that run elsewhere, and of answers that wait for credit, past which no further call
    /// is started. Past as many bytes of answers alone, a further one that has to wait fails as `too_large`, since a
    /// client may leave them there for as long as it likes. Default 4 MiB; at least one message should fit.
    pub running: usize,
    /// Bytes of items of uploads that handlers may not have taken, past which the call whose item came last fails as
    /// `too_large`: a caller cannot know this bound, so it is there against abuse only. Those taken since
    /// [`grant`](super::ServerConnection::grant_upload_credit) was said last count too. Default 256 MiB: about four uploads with windows
    /// of 64 of the largest items, of 1 MiB. It should grow with both.
    pub uploads: usize,
    /// What the client may have been asked and not have answered; what is asked beyond that fails as `busy`. Default 256.
    /// Each costs its event's name; a body is gone once it is written.
    pub asks: u32,
    /// How long a v1 client may take to say hello. Default 10 s; `Duration::MAX` means as long as it likes.
    pub hello_timeout: Duration,
    /// After this long without a sign of life the client is pinged. Default 20 s: shorter than the 60 s after which
    /// common proxies give an idle connection up. `Duration::MAX` means never.
    pub heartbeat: Duration,
    /// So many pings may go unanswered. Default 2.
    pub missed_heartbeats: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            unsent: 1 << 20,
            running: 4 << 20,
            uploads: 256 << 20,
            asks: 256,
            hello_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(20),
            missed_heartbeats: 2,
        }
    }
}
