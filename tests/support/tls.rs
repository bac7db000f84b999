//! Certificates of a test's own authority, and clients that trust it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use aaw_server::tls::Tls;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::within;

/// An authority, and a folder with certificates that it has issued.
pub struct Authority {
    root: Certificate,
    key: KeyPair,
    folder: tempfile::TempDir,
}

impl Authority {
    /// Creates an authority.
    ///
    /// # Panics
    /// If no key can be generated.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("random numbers");
        let root = params.self_signed(&key).expect("a certificate");
        Self { root, key, folder: tempfile::tempdir().expect("a folder") }
    }

    /// Issues a certificate for these names. Returns the texts of the certificate and of its key.
    ///
    /// # Panics
    /// If a name is not valid.
    pub fn issue(&self, names: &[&str]) -> (String, String) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("random numbers");
        let params = CertificateParams::new(names).expect("valid names");
        (params.signed_by(&key, &self.root, &self.key).expect("a certificate").pem(), key.serialize_pem())
    }

    /// Issues a certificate for these names into the files [`certificate`](Self::certificate) and [`key`](Self::key), and
    /// replaces those.
    ///
    /// # Panics
    /// If the files cannot be written.
    pub fn write(&self, names: &[&str]) {
        let (certificate, key) = self.issue(names);
        std::fs::write(self.certificate(), certificate).expect("the folder is writable");
        std::fs::write(self.key(), key).expect("the folder is writable");
    }

    /// The file of the certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("fullchain.pem")
    }

    /// The file of the key.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("privkey.pem")
    }

    /// The file of the authority's own certificate.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn root(&self) -> PathBuf {
        let path = self.folder.path().join("root.pem");
        std::fs::write(&path, self.root.pem()).expect("the folder is writable");
        path
    }

    /// Settings for a server, with a new certificate for `localhost` and `127.0.0.1` in the files.
    ///
    /// # Panics
    /// If they are not accepted.
    pub fn tls(&self) -> Tls {
        self.write(&["localhost", "127.0.0.1"]);
        Tls::from_pem_files(self.certificate(), self.key()).expect("a certificate and its key")
    }

    /// Settings for a client, which offers these protocols.
    ///
    /// # Panics
    /// If they are not accepted.
    pub fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = builder.expect("TLS 1.2 and 1.3").with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// Connects to `localhost` at this address.
    ///
    /// # Panics
    /// If the handshake fails.
    pub async fn connect(&self, addr: SocketAddr, protocols: &[&str]) -> TlsStream<TcpStream> {
        connect_with(self.client(protocols), addr).await.expect("the handshake succeeds")
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// Connects to `localhost` at this address with these settings.
///
/// # Errors
/// If the handshake fails.
///
/// # Panics
/// If the server does not listen.
pub async fn connect_with(config: Arc<ClientConfig>, addr: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(addr).await.expect("the server listens");
    let name = ServerName::try_from("localhost").expect("a name");
    within("the handshake", || "nothing".into(), TlsConnector::from(config).connect(name, socket)).await
}

/// An HTTP/2 connection.
#[derive(Clone)]
pub struct Http2Client {
    requests: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Http2Client {
    /// Connects to `localhost` at this address.
    ///
    /// # Panics
    /// If the server does not select HTTP/2.
    pub async fn connect(authority: &Authority, addr: SocketAddr) -> Self {
        Self::connect_with(authority, addr, |_| {}).await
    }

    /// As [`connect`](Self::connect), with settings of the connection.
    ///
    /// # Panics
    /// If the server does not select HTTP/2.
    pub async fn connect_with(
        authority: &Authority,
        addr: SocketAddr,
        change: impl FnOnce(&mut hyper::client::conn::http2::Builder<TokioExecutor>),
    ) -> Self {
        let stream = authority.connect(addr, &["h2", "http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        change(&mut builder);
        let (requests, connection) = builder.handshake(TokioIo::new(stream)).await.expect("an HTTP/2 connection");
        tokio::spawn(connection);
        Self { requests, authority: format!("localhost:{}", addr.port()) }
    }

    /// A request for this path, a POST if it has a body.
    pub fn request(&self, path: &str, body: &str) -> http::request::Builder {
        let method = if body.is_empty() { "GET" } else { "POST" };
        Request::builder().method(method).uri(format!("https://{}{path}", self.authority))
    }

    /// Sends a request, and returns the response once its head has arrived.
    ///
    /// # Errors
    /// If the connection has ended, or the server refuses the request without a response.
    ///
    /// # Panics
    /// If the request is not valid.
    pub async fn send(&self, request: http::request::Builder, body: &str) -> hyper::Result<Response<Incoming>> {
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).expect("a valid request");
        let mut requests = self.requests.clone();
        within("a response", || "nothing".into(), async move {
            requests.ready().await?;
            requests.send_request(request).await
        })
        .await
    }

    /// Calls an event. Returns the status and the body.
    ///
    /// # Panics
    /// If there is no response.
    pub async fn call(&self, event: &str, body: &str) -> (u16, String) {
        let path = format!("/events/{event}");
        let response = self.send(self.request(&path, body), body).await.expect("a response");
        (response.status().as_u16(), text(response).await)
    }

    /// Waits until the server has closed the connection, or announced that it does.
    pub async fn closed(&mut self) {
        within("the end of the connection", || "nothing".into(), async {
            while self.requests.ready().await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// Returns the body of a response.
///
/// # Panics
/// If it is not complete.
pub async fn text(response: Response<Incoming>) -> String {
    let body = within("the body", || "nothing".into(), response.into_body().collect()).await.expect("a body");
    String::from_utf8_lossy(&body.to_bytes()).into_owned()
}
