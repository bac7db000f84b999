//! The request service of a server without the feature `http`: WebSocket handshakes, the health of
//! the server, and status 426 for all else.

use std::future::ready;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};

use crate::config::Config;
use crate::error::StartError;
use crate::net::context::ServerContext;
use crate::net::handshake::{is_upgrade, plain_text, respond};
use crate::net::health;
use crate::net::http_connection::RequestGuard;
use crate::net::request_service::RequestService;
use crate::path_prefix::{Below, PathPrefix};
use crate::readiness;

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
        let prefix = &guard.connection().shared.config.load().path_prefix;
        match prefix.strip(request.uri()) {
            Below::Unchanged => {}
            Below::Stripped(target) | Below::AtPrefix(target) => *request.uri_mut() = target,
            Below::Outside => return ready(outside_prefix(prefix)),
        }
        ready(match request.uri().path() {
            _ if is_upgrade => respond(&guard, &mut request),
            readiness::HEALTH_PATH => health_response(request.method(), health::health()),
            readiness::READINESS_PATH => {
                health_response(request.method(), health::readiness(&guard.connection().shared))
            }
            _ => upgrade_required(),
        })
    }
}

fn health_response(method: &Method, (status, body): (StatusCode, String)) -> Response<String> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = plain_text(StatusCode::METHOD_NOT_ALLOWED, "Expected the method GET or HEAD\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // An old status is of no use.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
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

    /// Sends a request to a new server, and returns the response. The server closes the connection after it.
    async fn request(head: &str) -> String {
        let bound = Server::new(Config { port: 0, ..Config::default() }).bind().await.unwrap();
        let addr = bound.local_addr();
        let serving = tokio::spawn(bound.serve(std::future::pending()));
        let mut socket = tokio::net::TcpStream::connect(addr).await.unwrap();
        socket.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut response = String::new();
        socket.read_to_string(&mut response).await.unwrap();
        serving.abort();
        response
    }

    #[tokio::test]
    async fn the_health_is_served_without_http_too() {
        for (path, body) in [("/healthz", r#"{"status":"ok"}"#), ("/readyz", r#"{"status":"ready"}"#)] {
            let response = request(&format!("GET {path} HTTP/1.1\r\nHost: any.example")).await;
            assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with(body), "{response}");
            assert!(response.contains("content-type: application/json\r\ncache-control: no-store\r\n"), "{response}");
            let response = request(&format!("POST {path} HTTP/1.1\r\nHost: any.example\r\nContent-Length: 0")).await;
            assert!(response.starts_with("HTTP/1.1 405 ") && response.contains("allow: GET, HEAD\r\n"), "{response}");
        }
        let response = request("GET /healthz/x HTTP/1.1\r\nHost: localhost").await;
        assert!(response.starts_with("HTTP/1.1 426 "), "{response}");
    }

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
