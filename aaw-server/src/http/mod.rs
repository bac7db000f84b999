//! The same events over plain HTTP, for curl, `EventSource` and `fetch`; web pages; and the program's own routes beside
//! them.
//!
//! | path | |
//! |---|---|
//! | `POST`, `GET /events/NAME` | calls an event, reads a stream (`events`) |
//! | `GET /events` | the list of events, as JSON or as a page (`page`) |
//! | `GET /` | a page to try the events, or the folder of [`HttpConfig::static_dir`](crate::config::HttpConfig::static_dir) (`files`) |
//! | `GET /aaw.js`, `/aaw/HASH.js` | the client for browsers (`client_script`) |
//! | `GET /healthz`, `/readyz` | whether the server lives, and whether it accepts calls |
//!
//! A request passes the `middleware` (WebSocket upgrade, origin and host check, CORS) and is routed by the `router`. A plain
//! POST of an event takes a shorter way (`direct`), if the program has no routes of its own.
//! For a call, `events` checks that no foreign page has sent it (`page_check`), reads the `request`, negotiates the response's format (`negotiate`), starts the call (`run`),
//! and responds with the whole result, with `items` as they are produced (`sse` or NDJSON), or by `polling` with
//! `cursors`. Errors are `HttpError`s, each with a status.
//!
//! What is made of a response is counted in the memory budget of its connection, until it is written (`counted_bytes`);
//! streams that are read by polling have budgets of their own, since they outlive their connections.
//!
//! Requests count towards the rates of their client's address (`rate`).
//!
//! No call runs in a task of its own: a handler is polled by the task that writes its response. So a slow reader slows
//! its handler down, and a disconnect drops it.

mod arriving_body;
mod asset;
mod body_guard;
mod caller;
mod client_script;
mod cursors;
mod direct;
mod error;
mod events;
mod files;
mod items;
mod middleware;
mod negotiate;
mod page;
mod page_check;
mod polling;
mod rate;
mod request;
mod request_id;
mod response;
mod router;
mod run;
mod service;
mod sse;
mod state;

pub(crate) use service::{HttpService, mounted_router};
