//! The request service of a server without the feature `http`: WebSocket handshakes, and status 426 for all else.

use std::future::ready;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::{Request, Response, StatusCode};

use crate::config::Config;
use crate::error::StartError;
use crate::net::accept::RequestService;
use crate::net::context::ServerContext;
use crate::net::handshake::{is_upgrade, plain_text, respond};
use crate::net::http_connection::RequestGuard;
use crate::path_prefix::{Below, PathPrefix};

/// Serves WebSockets only.
#[derive(Debug, Clone)]
pub(crate) struct UpgradeOnly;

impl RequestService for UpgradeOnly {
    type Routes = ();
    type Body = String;

    fn check_config(_config: &Config) -> Result<(), StartError> {
        Ok(())
    }

    fn new(_shared: &Arc<ServerContext>, (): Self::Routes) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn respond(
        &self,
        mut request: Request<Incoming>,
        guard: RequestGuard,
    ) -> impl Future<Output = Response<String>> + Send + 'static {
        let is_upgrade = is_upgrade(request.headers());
        let prefix = &guard.connection().shared.config.path_prefix;
        ready(match prefix.strip(request.uri()) {
            Below::Outside => outside_prefix(prefix),
            _ if is_upgrade => respond(&guard, &mut request),
            _ => upgrade_required(),
        })
    }
}

fn upgrade_required() -> Response<String> {
    let text = "This is an aaw server that serves WebSockets only. Expected a WebSocket handshake, for example that of \
                `aaw call ws://HOST:PORT ping`.\n";
    let mut response = plain_text(StatusCode::UPGRADE_REQUIRED, text.into());
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade, close"));
    response
}

fn outside_prefix(prefix: &PathPrefix) -> Response<String> {
    plain_text(StatusCode::NOT_FOUND, format!("Nothing is served at this path. WebSockets are accepted at {prefix}\n"))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use crate::{Config, Server};

    #[tokio::test]
    async fn a_request_without_an_upgrade_gets_426_and_the_connection_closes() {
        let bound = Server::new(Config { port: 0, ..Config::default() }).bind().await.unwrap();
        let addr = bound.local_addr();
        let serving = tokio::spawn(bound.serve(std::future::pending()));
        let mut socket = tokio::net::TcpStream::connect(addr).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut response = String::new();
        // Reads to the end: the server closes after the response.
        socket.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 426 ") && response.contains("This is an aaw server"), "{response}");
        assert!(response.contains("connection: upgrade, close\r\n"), "{response}");
        serving.abort();
    }
}
