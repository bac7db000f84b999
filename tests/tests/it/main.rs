//! The real server over real sockets. One program, because each one links everything again; `tests/load.rs` is
//! separate, because it measures memory and time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acme;
mod address_limits;
mod auth;
mod bad_input;
mod binary;
mod blocking;
mod broadcast;
mod budgets;
mod calls;
mod cleanup;
mod client;
mod client_calls;
mod client_login;
mod client_script;
mod client_streams;
mod connection_hooks;
mod describe;
mod emit;
mod examples;
mod family;
mod fan_out;
mod fault_proxy;
mod foreign_pages;
mod guards;
mod handshakes;
mod health;
mod http;
mod http_mount;
mod http_pages;
mod http_polling;
mod http_shutdown;
mod http_streams;
mod limits;
#[cfg(unix)]
mod listeners;
mod log;
mod modules;
mod numbers;
mod origins;
mod path_prefix;
mod proxied_limits;
mod proxies;
mod proxy_protocol;
mod reloading;
mod replaced_events;
mod resumption;
mod resumption_hooks;
mod resumption_requests;
mod rooms;
mod run_limits;
mod settings;
mod shutdown;
mod silent_network;
mod slow_readers;
mod streams;
mod stuck_output;
mod tls;
mod tracing;
mod uploads;
