//! The load: `peers/load.mjs`, in one process of Node.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::system::System;
use crate::calls::BoxError;
use crate::node;

/// What all systems have in common.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) seed: u64,
    pub(crate) clients: u32,
    /// Of all clients.
    pub(crate) calls: u64,
    /// Calls in flight, of a client.
    pub(crate) in_flight: u32,
    /// After which no further calls are made.
    pub(crate) time: Duration,
    /// Of a call.
    pub(crate) timeout: Duration,
    /// To each client.
    pub(crate) pushes: u64,
    pub(crate) push_interval: Duration,
}

/// What has become of the calls.
#[derive(Debug, Deserialize)]
pub(crate) struct CallCounts {
    pub(crate) made: u64,
    pub(crate) responses: u64,
    /// Calls that ran exactly once, whatever their callers know.
    pub(crate) once: u64,
    /// Calls that ran several times.
    pub(crate) repeated: u64,
    pub(crate) failed_and_ran: u64,
    pub(crate) failed_and_never_ran: u64,
    pub(crate) succeeded_and_never_ran: u64,
    /// Calls that have neither a response nor an error, when that of the last one was due.
    pub(crate) without_result: u64,
    /// Connections that were continued after a break.
    pub(crate) resumed: u64,
    /// Connections that were not: a new one began.
    pub(crate) lost_connections: u64,
    /// In milliseconds.
    pub(crate) wall: f64,
    /// Of the clients, in milliseconds.
    pub(crate) cpu: f64,
    /// The texts of errors, and how many calls have failed with each.
    pub(crate) errors: BTreeMap<String, u64>,
}

/// What has become of the pushes.
#[derive(Debug, Deserialize)]
pub(crate) struct PushCounts {
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    /// Pushes that were received several times.
    pub(crate) doubled: u64,
    /// Pushes of whose loss clients were told.
    pub(crate) reported: u64,
    /// As in [`CallCounts`].
    pub(crate) resumed: u64,
    pub(crate) lost_connections: u64,
}

impl Load {
    /// Makes the calls through the proxy, and compares them with what the server says directly.
    pub(crate) async fn make_calls(
        &self,
        system: System,
        proxy: SocketAddr,
        server: SocketAddr,
    ) -> Result<CallCounts, BoxError> {
        let options = json!({
            "url": format!("ws://{proxy}"),
            "direct": format!("ws://{server}"),
            "calls": self.calls,
            "inFlight": self.in_flight,
            "time": self.time.as_millis() as u64,
        });
        let after_last_call = self.timeout + Duration::from_secs(30);
        self.run(system, options, self.time + after_last_call).await
    }

    /// Reads the pushes through the proxy.
    pub(crate) async fn receive_pushes(&self, system: System, proxy: SocketAddr) -> Result<PushCounts, BoxError> {
        let ticks = json!({ "times": self.pushes, "every": self.push_interval.as_millis() as u64 });
        let options = json!({ "url": format!("ws://{proxy}"), "ticks": ticks });
        let pushing = self.push_interval * u32::try_from(self.pushes)?;
        self.run(system, options, pushing * 4 + Duration::from_secs(60)).await
    }

    async fn run<T: DeserializeOwned>(
        &self,
        system: System,
        mut options: Value,
        limit: Duration,
    ) -> Result<T, BoxError> {
        options["peer"] = system.client().into();
        options["seed"] = self.seed.into();
        options["clients"] = self.clients.into();
        options["timeout"] = (self.timeout.as_millis() as u64).into();
        let report = node::run("peers/load.mjs", &options, limit).await;
        report.map_err(|error| format!("{}: {error}", system.name()).into())
    }
}
