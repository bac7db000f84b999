//! What stands in the place of `http` without that feature: WebSockets, and a word to everybody else.

use std::future::{Ready, ready};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::{Request, Response, StatusCode};

use crate::config::Config;
use crate::net::context::ServerContext;
use crate::net::handshake::{Serving, is_upgrade, plain, respond};
use crate::server::StartError;

/// Routes of the program's own: there are none.
#[derive(Debug, Default)]
pub(crate) struct Routes {}

/// Where requests come in.
#[derive(Debug, Clone)]
pub(crate) struct Front;

impl Front {
    pub(crate) fn probe(_config: &Config) -> Result<(), StartError> {
        Ok(())
    }

    pub(crate) fn new(_shared: &Arc<ServerContext>, _routes: Routes) -> Result<Self, StartError> {
        Ok(Self)
    }

    pub(crate) fn respond(&self, serving: Serving, mut request: Request<Incoming>) -> Ready<Response<String>> {
        ready(if is_upgrade(request.headers()) { respond(serving.visitor(), &mut request) } else { upgrade_required() })
    }
}

fn upgrade_required() -> Response<String> {
    let text = "This is an aaw server. Connect to it with a WebSocket: `aaw call ws://HOST:PORT ping`.\n";
    let mut response = plain(StatusCode::UPGRADE_REQUIRED, text.into());
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade, close"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use crate::{Config, Server};

    #[tokio::test]
    async fn whoever_asks_for_no_websocket_is_told_what_this_is() {
        let bound = Server::new(Config { port: 0, ..Config::default() }).bind().await.unwrap();
        let addr = bound.local_addr();
        let serving = tokio::spawn(bound.serve(std::future::pending()));
        let mut socket = tokio::net::TcpStream::connect(addr).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut response = String::new();
        // One request a connection: it ends.
        socket.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 426 ") && response.contains("This is an aaw server"), "{response}");
        assert!(response.contains("connection: upgrade, close\r\n"), "{response}");
        serving.abort();
    }
}
