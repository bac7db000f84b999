//! A network that swallows everything, and says nothing, in the middle of a call: both sockets stay open, and only new
//! connections work. The response arrives over the next one, within a time that RELIABILITY.md promises.
//!
//! These tests take real time, as the promise does.

use std::path::Path;
use std::time::{Duration, Instant};

use aaw_client::{Client, prepare};
use aaw_test_events::_services::Executions;
use aaw_tests::fault_proxy::{FaultPlan, FaultProxy};
use aaw_tests::resumption::{client_config, start_server};
use aaw_tests::{DEADLINE, Process, TestServer, until};
use serde_json::{Value, json};
use tokio::process::Command;

/// From the moment when the network begins to swallow everything until the response: 6 s to notice it, and a handshake.
const PROMISED: Duration = Duration::from_secs(8);

/// Where a call is when the network begins to swallow everything.
#[derive(Debug, Clone, Copy)]
enum Swallowed {
    /// At the client: the call is lost.
    Call,
    /// At the server, where its handler runs: the response is lost.
    Response,
    /// The same, after the server has acknowledged the call.
    ResponseOfTakenCall,
}

/// A client that has connected, and makes one call.
enum Caller {
    Rust(Client),
    /// `tests/js/calls.mjs`, under Node.
    Js(Process),
}

impl Caller {
    async fn rust(proxy: &FaultProxy) -> Self {
        let client = prepare(&proxy.url(), client_config()).unwrap().connect_lazily();
        client.send_async::<Value>("ping", (), DEADLINE).await.unwrap();
        Self::Rust(client)
    }

    async fn js(proxy: &FaultProxy) -> Self {
        let mut node = Command::new("node");
        node.arg("--experimental-websocket").arg("--no-warnings");
        node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("js/calls.mjs")).arg(proxy.url());
        let mut node = Process::start(node);
        assert_eq!(node.json().await, json!("connected"));
        Self::Js(node)
    }

    /// Returns the response to the call.
    async fn call(&mut self, event: &str, body: Value) -> Value {
        match self {
            Self::Rust(client) => client.send_async(event, body, DEADLINE).await.unwrap(),
            Self::Js(node) => {
                node.write_line(&json!([event, body]).to_string()).await;
                node.json().await
            }
        }
    }
}

async fn swallow(proxy: &FaultProxy) -> Instant {
    proxy.swallow_all();
    until("the black hole", || proxy.stats().black_holes == 1).await;
    Instant::now()
}

/// Makes a call while the network begins to swallow everything, and checks when its response arrives, and that it ran once.
async fn check(swallowed: Swallowed, server: &TestServer, proxy: &FaultProxy, caller: &mut Caller) {
    let id = 1;
    let (began, response) = match swallowed {
        Swallowed::Call => {
            let began = swallow(proxy).await;
            (began, caller.call("counter/add", json!({ "id": id, "by": 1 })).await)
        }
        Swallowed::Response | Swallowed::ResponseOfTakenCall => {
            let gate = server.app.gate("x");
            let arrival = async {
                until("the handler to run", || gate.counts().came == 1).await;
                if matches!(swallowed, Swallowed::ResponseOfTakenCall) {
                    let before = proxy.stats().to_client;
                    until("the acknowledgement", || proxy.stats().to_client > before).await;
                }
                let began = swallow(proxy).await;
                gate.release(1);
                began
            };
            let body = json!({ "gate": "x", "answer": { "id": id } });
            let (began, response) = tokio::join!(arrival, caller.call("gate/hold", body));
            // A second run would wait at the gate.
            assert_eq!((gate.counts().came, gate.counts().through), (1, 1));
            (began, response)
        }
    };
    let took = began.elapsed();
    println!("{swallowed:?}: the response arrived after {took:.1?}");
    assert_eq!(response["id"], json!(id), "{response}");
    assert!(took <= PROMISED, "the response took {took:?}");
    assert_eq!((proxy.stats().connections, proxy.stats().faults()), (2, 1), "the old connection is still open");
    if matches!(swallowed, Swallowed::Call) {
        assert_eq!(server.app.counter.executions(id), Executions { started: 1, completed: 1 });
    }
}

async fn network() -> (TestServer, FaultProxy) {
    let server = start_server().await;
    let proxy = FaultProxy::start(server.addr, FaultPlan::none()).await;
    (server, proxy)
}

#[tokio::test]
async fn a_rust_client_whose_call_is_swallowed_has_its_response_in_time() {
    let (server, proxy) = network().await;
    check(Swallowed::Call, &server, &proxy, &mut Caller::rust(&proxy).await).await;
}

#[tokio::test]
async fn a_rust_client_whose_response_is_swallowed_has_it_in_time() {
    let (server, proxy) = network().await;
    check(Swallowed::Response, &server, &proxy, &mut Caller::rust(&proxy).await).await;
}

#[tokio::test]
async fn a_javascript_client_whose_call_is_swallowed_has_its_response_in_time() {
    let (server, proxy) = network().await;
    check(Swallowed::Call, &server, &proxy, &mut Caller::js(&proxy).await).await;
}

#[tokio::test]
async fn a_javascript_client_whose_response_is_swallowed_has_it_in_time() {
    let (server, proxy) = network().await;
    check(Swallowed::Response, &server, &proxy, &mut Caller::js(&proxy).await).await;
}

#[tokio::test]
async fn a_rust_client_whose_call_the_server_has_taken_has_its_response_in_time() {
    let (server, proxy) = network().await;
    check(Swallowed::ResponseOfTakenCall, &server, &proxy, &mut Caller::rust(&proxy).await).await;
}

#[tokio::test]
async fn a_javascript_client_whose_call_the_server_has_taken_has_its_response_in_time() {
    let (server, proxy) = network().await;
    check(Swallowed::ResponseOfTakenCall, &server, &proxy, &mut Caller::js(&proxy).await).await;
}
