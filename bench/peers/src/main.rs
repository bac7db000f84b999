//! Servers and a client that aaw is compared with. Each server runs on a free port of 127.0.0.1, prints its address as the first line, and
//! ends when the process is killed.

mod frames;
mod http;
mod json_rpc;
mod json_rpc_client;
mod raw;
mod raw_items;
mod socket_io;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use tokio::net::TcpListener;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let served = match arguments.first().map(String::as_str) {
        Some("client") => json_rpc_client::measure(&arguments[1..]),
        Some("raw") => raw::serve(raw::Service::Echo),
        Some("raw-json") => raw::serve(raw::Service::JsonEcho),
        Some("raw-fan-out") => raw::serve(raw::Service::FanOut),
        Some("raw-items") => raw_items::serve(),
        Some("jsonrpsee") => json_rpc::serve(),
        Some("axum") => http::serve(),
        Some("socketioxide") => socket_io::serve(),
        other => Err(format!(
            "expected client, raw, raw-json, raw-fan-out, raw-items, axum, jsonrpsee or socketioxide; found {other:?}"
        )
        .into()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aaw-bench-peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Listens on a free port, and prints the address.
pub(crate) async fn listen() -> Result<TcpListener, BoxError> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    println!("{}", listener.local_addr()?);
    Ok(listener)
}

/// Runs a server on tokio's runtime with several threads, as their documentation does.
pub(crate) fn run(server: impl Future<Output = Result<(), BoxError>>) -> Result<(), BoxError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(server)
}
