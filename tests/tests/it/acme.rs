//! Certificates by ACME, from Pebble, the test authority of Let's Encrypt (Debian's package `pebble`).

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use aaw_tests::cargo::artifacts;
use aaw_tests::tls::Authority;
use aaw_tests::{Process, within};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;

use crate::binary;

const DOMAIN: &str = "api.aaw.test";

/// An address of this machine that nothing listens on.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap()
}

/// Whether the programs are installed. CI installs them.
fn has_pebble() -> bool {
    let found = std::process::Command::new("pebble").arg("-help").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "pebble is not installed (Debian: apt-get install pebble)");
    if !found {
        eprintln!("skipped: pebble is not installed (Debian: apt-get install pebble)");
    }
    found
}

/// Waits until something listens there.
async fn listens(address: SocketAddr) {
    within("a listener", || address.to_string(), async {
        while TcpStream::connect(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

struct Pebble {
    _dns: Process,
    _pebble: Process,
    directory: String,
    management: SocketAddr,
    _folder: tempfile::TempDir,
}

/// Starts an authority that finds every name on this machine, and proves them at this port.
async fn pebble(authority: &Authority, challenges: SocketAddr) -> Pebble {
    authority.write(&["localhost", "127.0.0.1"]);
    let [dns, listen, management] = [free(), free(), free()];
    let mut command = Command::new("pebble-challtestsrv");
    command.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
    command.args(["-defaultIPv4", "127.0.0.1", "-dns01", &dns.to_string(), "-management", &free().to_string()]);
    let names = Process::start(command);
    let folder = tempfile::tempdir().unwrap();
    let config = serde_json::json!({ "pebble": {
        "listenAddress": listen.to_string(),
        "managementListenAddress": management.to_string(),
        "certificate": authority.certificate(),
        "privateKey": authority.key(),
        "httpPort": free().port(),
        "tlsPort": challenges.port(),
        "ocspResponderURL": "",
        "externalAccountBindingRequired": false,
    } });
    let path = folder.path().join("pebble.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let mut command = Command::new("pebble");
    command.arg("-config").arg(&path).args(["-dnsserver", &dns.to_string()]);
    command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0");
    let pebble = Process::start(command);
    listens(dns).await;
    listens(listen).await;
    listens(management).await;
    let directory = format!("https://localhost:{}/dir", listen.port());
    Pebble { _dns: names, _pebble: pebble, directory, management, _folder: folder }
}

/// The certificate below which Pebble issues others.
async fn root(authority: &Authority, pebble: &Pebble) -> CertificateDer<'static> {
    let mut stream = authority.connect(pebble.management, &[]).await;
    stream.write_all(b"GET /roots/0 HTTP/1.0\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    CertificateDer::from_pem_slice(&response).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&response)))
}

/// Calls an event at a server whose certificate is below this root.
async fn ping(root: &CertificateDer<'static>, address: SocketAddr) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(DOMAIN).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.expect("a trusted certificate");
    let request =
        format!("POST /events/ping HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    let _ = stream.read_to_string(&mut response).await;
    response
}

/// Starts a server whose certificate comes from this authority.
async fn serve(address: SocketAddr, directory: &str, authority: &Authority, cache: &Path) -> Process {
    let mut command = Command::new(&artifacts().await.server);
    command.arg(binary::events().await).args(["--listen", &address.to_string(), "--tls", DOMAIN]);
    command.args(["--tls-directory", directory, "--tls-email", "admin@aaw.test", "--tls-cache"]).arg(cache);
    command.args(["--allow-origin", &format!("https://{DOMAIN}")]).env("SSL_CERT_FILE", authority.root());
    Process::start_building(command)
}

#[tokio::test]
async fn a_certificate_is_obtained_over_tls_and_kept() {
    if !has_pebble() {
        return;
    }
    let authority = Authority::new();
    let address = free();
    let pebble = pebble(&authority, address).await;
    let root = root(&authority, &pebble).await;
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("acme");
    let mut server = serve(address, &pebble.directory, &authority, &cache).await;
    server.stderr_line(&["connects to port 443 of api.aaw.test, on which the server does not listen"]).await;
    server.stderr_line(&["obtained a certificate for api.aaw.test"]).await;
    assert!(ping(&root, address).await.ends_with(r#"{"pong":true}"#));
    server.signal("TERM").await;
    assert!(server.exited().await.success(), "{}", server.stderr());
    let directory = pebble.directory.clone();
    // The authority is not asked again.
    drop(pebble);
    let server = serve(address, &directory, &authority, &cache).await;
    server.stderr_line(&["using the stored certificate for api.aaw.test"]).await;
    assert!(ping(&root, address).await.ends_with(r#"{"pong":true}"#));
}

#[tokio::test]
async fn an_authority_that_does_not_respond_is_logged_and_tried_again() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let directory = format!("https://{}/dir", free());
    let server = serve(free(), &directory, &authority, folder.path()).await;
    server.stderr_line(&["ERROR", "obtaining a certificate for api.aaw.test failed, trying again in 60 s"]).await;
}
