//! The graceful shutdown, and its deadlines.

use std::time::Duration;

use aaw_protocol::clock;
use tokio::time::{Instant, timeout_at};

use crate::config::Config;
use crate::net::context::ServerContext;
use crate::net::shutdown_phase::ShutdownPhase;
use crate::readiness;

/// The part of [`Config::shutdown_timeout`] that is kept for closing connections and dropping services, at most.
const MAX_RESERVE: Duration = Duration::from_secs(3);

/// How long closing connections and dropping services may take at least, whatever the config says.
const MIN_RESERVE: Duration = Duration::from_secs(1);

/// When the parts of a shutdown end.
#[derive(Debug, PartialEq)]
struct Deadlines {
    /// Streams that still run are ended.
    streams: Instant,
    /// Calls that still run are dropped.
    calls: Instant,
    /// Connections that have not closed are not waited for.
    connections: Instant,
    /// Services that have not been dropped are not waited for: a handler's own task may hold a reference to them forever. A
    /// moment is left for the end of the process.
    services: Instant,
}

impl Deadlines {
    fn new(started: Instant, config: &Config) -> Self {
        let after = |duration| clock::after(started.into_std(), duration).into();
        let Config { shutdown_timeout, stream_shutdown_timeout, .. } = *config;
        let reserve = (shutdown_timeout / 8).saturating_mul(3).clamp(MIN_RESERVE, MAX_RESERVE);
        let end = shutdown_timeout.max(MIN_RESERVE);
        let calls = end - reserve;
        Self {
            streams: after(stream_shutdown_timeout.min(calls)),
            calls: after(calls),
            connections: after(end - reserve / 3),
            services: after(end - reserve / 6),
        }
    }
}

/// Shuts down gracefully.
pub(super) async fn stop(shared: &ServerContext) {
    let hub = &shared.hub;
    let deadlines = Deadlines::new(Instant::now(), &shared.config.load());
    shared.shutdown.advance(ShutdownPhase::Draining);
    shared.readiness.fail(readiness::STOPPING);
    hub.drain();
    // Logged after `drain`: from here on new calls are refused.
    tracing::info!(connections = hub.len(), "stopping");
    let is_empty_by = async |deadline| timeout_at(deadline, hub.wait_until_empty()).await.is_ok();
    let mut is_empty = is_empty_by(deadlines.streams).await;
    if !is_empty {
        shared.shutdown.advance(ShutdownPhase::EndingStreams);
        hub.end_streams();
        is_empty = is_empty_by(deadlines.calls).await;
    }
    if !is_empty {
        tracing::warn!(connections = hub.len(), "calls are still running at the shutdown deadline and are dropped");
        shared.shutdown.advance(ShutdownPhase::Aborting);
        hub.stop();
        is_empty_by(deadlines.connections).await;
    }
    shared.shutdown.advance(ShutdownPhase::Aborting);
    // Drops the modules, and with them their services.
    shared.dispatch.registry.store(Default::default());
    if timeout_at(deadlines.services, shared.modules.wait_until_ended()).await.is_err() {
        tracing::warn!("services did not end in time; no longer waiting for them");
    }
    tracing::info!("stopped");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The deadlines of these timeouts, in milliseconds after the start.
    fn deadlines(stream_shutdown_timeout: Duration, shutdown_timeout: Duration) -> [u128; 4] {
        let started = Instant::now();
        let config = Config { stream_shutdown_timeout, shutdown_timeout, ..Config::default() };
        let Deadlines { streams, calls, connections, services } = Deadlines::new(started, &config);
        [streams, calls, connections, services].map(|deadline| (deadline - started).as_millis())
    }

    #[test]
    fn the_whole_shutdown_ends_at_its_timeout() {
        let Config { stream_shutdown_timeout, shutdown_timeout, .. } = Config::default();
        assert_eq!(deadlines(stream_shutdown_timeout, shutdown_timeout), [2000, 5000, 7000, 7500]);
        let seconds = Duration::from_secs;
        assert_eq!(deadlines(seconds(2), seconds(60)), [2000, 57_000, 59_000, 59_500]);
        assert_eq!(deadlines(seconds(9), seconds(4)), [2500, 2500, 3500, 3750]);
        // Connections still get a moment to close.
        assert_eq!(deadlines(seconds(2), Duration::ZERO), [0, 0, 666, 833]);
        let never = deadlines(seconds(2), Duration::MAX);
        assert!(never[0] == 2000 && never[1] > 1_000_000_000, "{never:?}");
    }
}
