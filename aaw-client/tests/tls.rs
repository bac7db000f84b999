//! `wss://`, with a certificate made for the test.
#![cfg(feature = "tls")]
// Test code: a panic is how it says no, and a future may be large.
#![allow(clippy::unwrap_used, clippy::large_futures)]

mod scripted;

use std::sync::Arc;
use std::time::Duration;

use aaw_client::{Config, ConnectError};
use rustls::pki_types::PrivateKeyDer;
use scripted::{Peer, Server};
use tokio_rustls::TlsAcceptor;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Both sides of a certificate for `localhost`.
fn certificate() -> (TlsAcceptor, rustls::ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), client)
}

#[tokio::test]
async fn a_call_over_tls() {
    let (acceptor, tls) = certificate();
    let server = Server::start().await;
    let script = async {
        let mut peer = Peer::shake_hands(acceptor.accept(server.tcp().await).await.unwrap(), "aaw.v1").await;
        peer.read().await;
        peer.send(r#"["aaw/welcome",{"connection":"c1"}]"#).await;
        assert_eq!(peer.read().await, r#"["ping",null,1]"#);
        peer.send(r#"["ping",7,1]"#).await;
        peer.closed().await
    };
    let calls = async {
        let config = Config { tls: Some(Arc::new(tls)), ..Config::default() };
        let client = aaw_client::connect_with(&format!("wss://localhost:{}", server.port()), config).await.unwrap();
        let answer = client.send_async::<i32>("ping", (), Duration::from_secs(10)).await;
        client.close().await;
        answer
    };
    let (answer, code) = tokio::join!(calls, script);
    assert_eq!((answer, code), (Ok(7), 1000));
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused() {
    let (acceptor, _) = certificate();
    let (_, others) = certificate();
    let server = Server::start().await;
    let url = format!("wss://localhost:{}", server.port());
    let script = async { acceptor.accept(server.tcp().await).await.is_err() };
    let config = Config { tls: Some(Arc::new(others)), ..Config::default() };
    let (connected, refused) = tokio::join!(aaw_client::connect_with(&url, config), script);
    let error = connected.unwrap_err();
    assert!(refused && matches!(error, ConnectError::Tls { .. }), "{error}");
}
