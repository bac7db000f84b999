//! Tests of the session across connections.

use super::*;

const WELCOME: &str = r#"["aaw/welcome",{"connection":"c1"}]"#;
const HELLO: &str = r#"["aaw/hello",{}]"#;
const RESUME: &str = r#"["aaw/resume",{"token":"t1"},1]"#;

impl TestClient {
    fn with_token() -> Self {
        let mut client = Self::new(ClientConfig::default());
        client.connection.set_token(Some(Token::new("t1")));
        client
    }

    fn login_outputs(&mut self, text: &str) -> Vec<String> {
        self.connection.handle_text(self.now, text);
        self.pending_login_outputs()
    }

    fn pending_login_outputs(&mut self) -> Vec<String> {
        self.outputs().into_iter().map(describe).collect()
    }

    fn token(&self) -> Option<&str> {
        self.connection.token().map(Token::as_str)
    }

    /// Loses the connection and makes another one.
    fn reconnect(&mut self, dialect: Dialect) -> Vec<String> {
        self.connection.handle_disconnected(self.now, DisconnectReason::Broken("cut".into()));
        self.pass(60 * SECOND);
        self.outputs();
        self.connection.handle_connected(self.now, dialect);
        self.pending_login_outputs()
    }
}

fn describe(output: Output<&'static str>) -> String {
    match output {
        Output::Send(frame) => text_of(&frame),
        Output::LoggedIn { token, user } => format!("logged in as {user} with {}", token.as_str()),
        Output::LoggedOut => "logged out".into(),
        Output::Unauthorized(failure) => format!("unauthorized: {failure}"),
        Output::Opened { connection } => format!("open {}", connection.as_deref().unwrap_or("classic")),
        Output::CallDone { waiter, result: CallResult::Response(_) } => format!("{waiter} responded"),
        Output::CallDone { waiter, result } => format!("{waiter} {result:?}"),
        Output::Warning(warning) => warning.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_token_is_sent_first_and_opening_waits_for_its_response() {
    let mut client = TestClient::with_token();
    client.call_key("e", "a");
    client.connection.send(EncodedMessage::new("s", &1).unwrap()).unwrap();
    client.connection.handle_connected(client.now, Dialect::V1);
    assert_eq!(client.pending_login_outputs(), [HELLO, RESUME]);
    assert!(client.login_outputs(WELCOME).is_empty());
    assert_eq!(
        client.login_outputs(r#"["aaw/resume",{"token":"t1","user":{"id":7,"email":"a@b.c"}},1]"#),
        [r#"logged in as {"id":7,"email":"a@b.c"} with t1"#, "open c1", r#"["e",0,2]"#, r#"["s",1]"#]
    );
}

#[test]
fn an_expired_token_is_deleted_and_reported() {
    for response in [
        r#"["aaw/resume",{"error":"Session expired","code":"handler"},1,"error"]"#,
        r#"["aaw/resume",{"error":"No session","code":"not_authenticated"},1,"error"]"#,
    ] {
        let mut client = TestClient::with_token();
        client.connection.handle_connected(client.now, Dialect::V1);
        client.login_outputs(WELCOME);
        let received = client.login_outputs(response);
        assert!(
            received.len() == 2 && received[0].starts_with("unauthorized: ") && received[1] == "open c1",
            "{received:?}"
        );
        assert_eq!(client.token(), None);
        assert_eq!(client.reconnect(Dialect::V1), [HELLO]);
    }
}

#[test]
fn a_failure_other_than_expiry_keeps_the_token() {
    let mut client = TestClient::with_token();
    client.connection.handle_connected(client.now, Dialect::V1);
    client.login_outputs(WELCOME);
    let received = client.login_outputs(r#"["aaw/resume",{"error":"Internal error","code":"handler"},1,"error"]"#);
    assert_eq!(received, ["the server reported an error: Internal error", "open c1"]);
    assert_eq!(client.token(), Some("t1"));
    assert_eq!(client.reconnect(Dialect::V1), [HELLO, RESUME]);
}

#[test]
fn a_slow_response_keeps_the_token() {
    let mut client = TestClient::with_token();
    client.connection.handle_connected(client.now, Dialect::V1);
    client.login_outputs(WELCOME);
    client.connection.call(client.now, CallKey(9), EncodedMessage::new("e", &0).unwrap(), None, "a");
    assert!(client.pending_login_outputs().is_empty());
    assert_eq!(client.connection.poll_timeout(), Some(client.now + 10 * SECOND));
    client.connection.handle_sign_of_life(client.now);
    client.pass(10 * SECOND);
    assert_eq!(client.pending_login_outputs(), ["open c1", r#"["e",0,2]"#]);
    // A late response still counts.
    assert_eq!(client.login_outputs(r#"["aaw/resume",{"token":"t2","user":1},1]"#), ["logged in as 1 with t2"]);
    assert_eq!(client.reconnect(Dialect::V1)[1], r#"["aaw/resume",{"token":"t2"},1]"#);
    // The connection is lost before the response.
    assert_eq!(client.reconnect(Dialect::V1)[1], r#"["aaw/resume",{"token":"t2"},1]"#);
}

#[test]
fn a_server_without_a_welcome_is_disconnected_and_the_token_is_kept() {
    let mut client = TestClient::with_token();
    client.connection.handle_connected(client.now, Dialect::V1);
    client.outputs();
    client.pass(10 * SECOND);
    let outputs = client.outputs();
    assert!(matches!(&outputs[..], [Output::Abort, Output::Disconnected(DisconnectReason::NoWelcome)]), "{outputs:?}");
    assert_eq!(client.token(), Some("t1"));
}

#[test]
fn the_token_of_each_login_response_is_stored() {
    for event in ["aaw/login", "aaw/register", "aaw/resume", "aaw/password/set-new"] {
        let mut client = TestClient::open(Dialect::V1);
        client.call(event, "a");
        let received = client.login_outputs(&format!(r#"["{event}",{{"user":{{"id":1}},"token":"t1","more":1}},1]"#));
        assert_eq!(received, [r#"logged in as {"id":1} with t1"#, "a responded"]);
        assert_eq!(client.reconnect(Dialect::V1), [HELLO, RESUME], "{event}");
    }
}

#[test]
fn other_responses_do_not_set_a_token() {
    let mut client = TestClient::open(Dialect::V1);
    for (at, (event, response)) in [
        ("e", r#"{"token":"t1","user":1}"#),
        ("aaw/login", r#"{"token":7,"user":1}"#),
        ("aaw/login", r#"{"token":"t1"}"#),
        ("aaw/login", "null"),
    ]
    .into_iter()
    .enumerate()
    {
        client.call(event, "a");
        assert_eq!(client.login_outputs(&format!(r#"["{event}",{response},{}]"#, at + 1)), ["a responded"]);
    }
    client.call("aaw/login", "a");
    let received = client.login_outputs(r#"["aaw/login",{"error":"Invalid credentials","code":"handler"},5,"error"]"#);
    assert_eq!(received.len(), 1);
    assert_eq!(client.token(), None);
}

#[test]
fn a_logout_deletes_the_token() {
    let mut client = TestClient::open(Dialect::V1);
    client.connection.set_token(Some(Token::new("t1")));
    client.call("aaw/logout", "a");
    // The server notifies all connections of the session, including the one that logged out.
    assert!(client.login_outputs(r#"["aaw/session",{"ended":"logout"}]"#).is_empty());
    assert_eq!(client.login_outputs(r#"["aaw/logout",{"ok":true},1]"#), ["logged out", "a responded"]);
    assert!(client.login_outputs(r#"["aaw/session",{"ended":"logout"}]"#).is_empty());
    assert_eq!(client.reconnect(Dialect::V1), [HELLO]);
}

#[test]
fn a_failed_logout_keeps_the_token() {
    let mut client = TestClient::open(Dialect::V1);
    client.connection.set_token(Some(Token::new("t1")));
    client.call("aaw/logout", "a");
    client.login_outputs(r#"["aaw/logout",{"error":"Internal error"},1,"error"]"#);
    assert_eq!(client.token(), Some("t1"));
}

#[test]
fn a_session_ended_elsewhere_is_reported() {
    for (ended, text) in
        [("logout", "Logged out elsewhere"), ("expired", "Session expired"), ("password", "The password has changed")]
    {
        let mut client = TestClient::open(Dialect::V1);
        client.connection.set_token(Some(Token::new("t1")));
        let received = client.login_outputs(&format!(r#"["aaw/session",{{"ended":"{ended}"}}]"#));
        assert_eq!(received, [format!("unauthorized: {text}")]);
        assert_eq!(client.token(), None);
    }
    let mut client = TestClient::open(Dialect::V1);
    let received = client.login_outputs(r#"["aaw/session",7]"#);
    assert!(received.len() == 1 && received[0].contains("malformed aaw/session"), "{received:?}");
}

#[test]
fn a_new_password_replaces_the_session() {
    let mut client = TestClient::open(Dialect::V1);
    client.connection.set_token(Some(Token::new("t0")));
    client.call("aaw/password/set-new", "a");
    assert!(client.login_outputs(r#"["aaw/session",{"ended":"password"}]"#).is_empty());
    assert_eq!(
        client.login_outputs(r#"["aaw/password/set-new",{"token":"t1","user":1},1]"#),
        ["logged in as 1 with t1", "a responded"]
    );
}

#[test]
fn a_classic_server_receives_only_a_token_of_a_classic_server() {
    let mut client = TestClient::open(Dialect::Classic);
    client.call("aaw/login", "a");
    client.login_outputs(r#"["aaw/login",{"token":"t1","user":1}]"#);
    // The responses of the JavaScript package have no ids.
    assert_eq!(client.reconnect(Dialect::Classic), [RESUME]);
    assert_eq!(
        client.login_outputs(r#"["aaw/resume",{"token":"t1","user":1}]"#),
        ["logged in as 1 with t1", "open classic"]
    );
    assert_eq!(client.reconnect(Dialect::Classic), [RESUME]);
    assert_eq!(
        client.login_outputs(r#"["aaw/resume",{"error":"Session expired"}]"#),
        ["unauthorized: Session expired", "open classic"]
    );

    // An unknown event terminates a server of the JavaScript package.
    let mut client = TestClient::open(Dialect::V1);
    client.call("aaw/login", "a");
    client.login_outputs(r#"["aaw/login",{"token":"t1","user":1},1]"#);
    assert_eq!(client.reconnect(Dialect::Classic), ["open classic"]);
    assert_eq!(client.token(), Some("t1"));
}

#[test]
fn presence_events_are_pushes() {
    let mut client = TestClient::open(Dialect::V1);
    for event in ["aaw/joined", "aaw/left"] {
        client.connection.handle_text(client.now, &format!(r#"["{event}",{{"room":"r"}}]"#));
        let outputs = client.outputs();
        assert!(matches!(&outputs[..], [Output::Push { event: pushed, .. }] if **pushed == *event), "{outputs:?}");
    }
}

#[test]
fn debug_output_does_not_contain_the_token() {
    let mut client = TestClient::open(Dialect::V1);
    client.connection.set_token(Some(Token::new("secret")));
    assert!(!format!("{:?}", client.connection).contains("secret"));
}
