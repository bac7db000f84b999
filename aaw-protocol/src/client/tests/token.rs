//! Logged in, across connections.

use super::*;

const WELCOME: &str = r#"["aaw/welcome",{"connection":"c1"}]"#;
const HELLO: &str = r#"["aaw/hello",{}]"#;
const RESUME: &str = r#"["aaw/resume",{"token":"t1"},1]"#;

impl Rig {
    fn with_token() -> Self {
        let mut rig = Self::new(ClientConfig::default());
        rig.session.set_token(Some(Token::new("t1")));
        rig
    }

    fn takes(&mut self, text: &str) -> Vec<String> {
        self.session.handle_text(self.now, text);
        self.words()
    }

    fn words(&mut self) -> Vec<String> {
        self.outputs().into_iter().map(words).collect()
    }

    fn token(&self) -> Option<&str> {
        self.session.token().map(Token::as_str)
    }

    /// Loses the connection and has another attempt.
    fn reconnect(&mut self, dialect: Dialect) -> Vec<String> {
        self.session.handle_disconnected(self.now, DisconnectReason::Broken("cut".into()));
        self.pass(60 * SECOND);
        self.outputs();
        self.session.handle_connected(self.now, dialect);
        self.words()
    }
}

fn words(output: Output<&'static str>) -> String {
    match output {
        Output::Send(frame) => text_of(&frame),
        Output::LoggedIn { token, user } => format!("in as {user} by {}", token.as_str()),
        Output::LoggedOut => "out".into(),
        Output::Unauthorized(failure) => format!("unauthorized: {failure}"),
        Output::Opened { connection } => format!("open {}", connection.as_deref().unwrap_or("classic")),
        Output::CallDone { waiter, outcome: CallResult::Response(_) } => format!("{waiter} answered"),
        Output::CallDone { waiter, outcome } => format!("{waiter} {outcome:?}"),
        Output::Warning(problem) => problem.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_token_goes_out_before_everything_and_open_waits_for_its_answer() {
    let mut rig = Rig::with_token();
    rig.call_key("e", "a");
    rig.session.send(EncodedMessage::new("s", &1).unwrap()).unwrap();
    rig.session.handle_connected(rig.now, Dialect::V1);
    assert_eq!(rig.words(), [HELLO, RESUME]);
    assert!(rig.takes(WELCOME).is_empty());
    assert_eq!(
        rig.takes(r#"["aaw/resume",{"token":"t1","user":{"id":7,"email":"a@b.c"}},1]"#),
        [r#"in as {"id":7,"email":"a@b.c"} by t1"#, "open c1", r#"["e",0,2]"#, r#"["s",1]"#]
    );
}

#[test]
fn an_expired_session_is_forgotten_and_told() {
    for answer in [
        r#"["aaw/resume",{"error":"Session expired","code":"handler"},1,"error"]"#,
        r#"["aaw/resume",{"error":"No session","code":"not_authenticated"},1,"error"]"#,
    ] {
        let mut rig = Rig::with_token();
        rig.session.handle_connected(rig.now, Dialect::V1);
        rig.takes(WELCOME);
        let heard = rig.takes(answer);
        assert!(heard.len() == 2 && heard[0].starts_with("unauthorized: ") && heard[1] == "open c1", "{heard:?}");
        assert_eq!(rig.token(), None);
        assert_eq!(rig.reconnect(Dialect::V1), [HELLO]);
    }
}

#[test]
fn a_server_that_cannot_look_logs_nobody_out() {
    let mut rig = Rig::with_token();
    rig.session.handle_connected(rig.now, Dialect::V1);
    rig.takes(WELCOME);
    let heard = rig.takes(r#"["aaw/resume",{"error":"Internal error","code":"handler"},1,"error"]"#);
    assert_eq!(heard, ["the server says: Internal error", "open c1"]);
    assert_eq!(rig.token(), Some("t1"));
    assert_eq!(rig.reconnect(Dialect::V1), [HELLO, RESUME]);
}

#[test]
fn a_slow_server_logs_nobody_out() {
    let mut rig = Rig::with_token();
    rig.session.handle_connected(rig.now, Dialect::V1);
    rig.takes(WELCOME);
    rig.session.call(rig.now, CallKey(9), EncodedMessage::new("e", &0).unwrap(), None, "a");
    assert!(rig.words().is_empty());
    assert_eq!(rig.session.poll_timeout(), Some(rig.now + 10 * SECOND));
    rig.session.handle_sign_of_life(rig.now);
    rig.pass(10 * SECOND);
    assert_eq!(rig.words(), ["open c1", r#"["e",0,2]"#]);
    // Late is better than never.
    assert_eq!(rig.takes(r#"["aaw/resume",{"token":"t2","user":1},1]"#), ["in as 1 by t2"]);
    assert_eq!(rig.reconnect(Dialect::V1)[1], r#"["aaw/resume",{"token":"t2"},1]"#);
    // The connection breaks before there is an answer.
    assert_eq!(rig.reconnect(Dialect::V1)[1], r#"["aaw/resume",{"token":"t2"},1]"#);
}

#[test]
fn a_server_that_never_greets_is_left_as_ever() {
    let mut rig = Rig::with_token();
    rig.session.handle_connected(rig.now, Dialect::V1);
    rig.outputs();
    rig.pass(10 * SECOND);
    let outputs = rig.outputs();
    assert!(matches!(&outputs[..], [Output::Abort, Output::Disconnected(DisconnectReason::NoWelcome)]), "{outputs:?}");
    assert_eq!(rig.token(), Some("t1"));
}

#[test]
fn the_token_of_whatever_answer_gives_one_is_kept() {
    for event in ["aaw/login", "aaw/register", "aaw/resume", "aaw/password/set-new"] {
        let mut rig = Rig::open(Dialect::V1);
        rig.call(event, "a");
        let heard = rig.takes(&format!(r#"["{event}",{{"user":{{"id":1}},"token":"t1","more":1}},1]"#));
        assert_eq!(heard, [r#"in as {"id":1} by t1"#, "a answered"]);
        assert_eq!(rig.reconnect(Dialect::V1), [HELLO, RESUME], "{event}");
    }
}

#[test]
fn nothing_else_is_taken_for_a_token() {
    let mut rig = Rig::open(Dialect::V1);
    for (at, (event, answer)) in [
        ("e", r#"{"token":"t1","user":1}"#),
        ("aaw/login", r#"{"token":7,"user":1}"#),
        ("aaw/login", r#"{"token":"t1"}"#),
        ("aaw/login", "null"),
    ]
    .into_iter()
    .enumerate()
    {
        rig.call(event, "a");
        assert_eq!(rig.takes(&format!(r#"["{event}",{answer},{}]"#, at + 1)), ["a answered"]);
    }
    rig.call("aaw/login", "a");
    let heard = rig.takes(r#"["aaw/login",{"error":"Invalid credentials","code":"handler"},5,"error"]"#);
    assert_eq!(heard.len(), 1);
    assert_eq!(rig.token(), None);
}

#[test]
fn who_logs_out_is_not_resumed() {
    let mut rig = Rig::open(Dialect::V1);
    rig.session.set_token(Some(Token::new("t1")));
    rig.call("aaw/logout", "a");
    // The server tells all connections of the session, and this is one of them.
    assert!(rig.takes(r#"["aaw/session",{"ended":"logout"}]"#).is_empty());
    assert_eq!(rig.takes(r#"["aaw/logout",{"ok":true},1]"#), ["out", "a answered"]);
    assert!(rig.takes(r#"["aaw/session",{"ended":"logout"}]"#).is_empty());
    assert_eq!(rig.reconnect(Dialect::V1), [HELLO]);
}

#[test]
fn a_logout_that_fails_changes_nothing() {
    let mut rig = Rig::open(Dialect::V1);
    rig.session.set_token(Some(Token::new("t1")));
    rig.call("aaw/logout", "a");
    rig.takes(r#"["aaw/logout",{"error":"Internal error"},1,"error"]"#);
    assert_eq!(rig.token(), Some("t1"));
}

#[test]
fn a_session_that_is_ended_elsewhere_is_told() {
    for (ended, text) in
        [("logout", "Logged out elsewhere"), ("expired", "Session expired"), ("password", "The password has changed")]
    {
        let mut rig = Rig::open(Dialect::V1);
        rig.session.set_token(Some(Token::new("t1")));
        let heard = rig.takes(&format!(r#"["aaw/session",{{"ended":"{ended}"}}]"#));
        assert_eq!(heard, [format!("unauthorized: {text}")]);
        assert_eq!(rig.token(), None);
    }
    let mut rig = Rig::open(Dialect::V1);
    let heard = rig.takes(r#"["aaw/session",7]"#);
    assert!(heard.len() == 1 && heard[0].contains("cannot be read"), "{heard:?}");
}

#[test]
fn a_new_password_ends_the_old_session_and_begins_one() {
    let mut rig = Rig::open(Dialect::V1);
    rig.session.set_token(Some(Token::new("t0")));
    rig.call("aaw/password/set-new", "a");
    assert!(rig.takes(r#"["aaw/session",{"ended":"password"}]"#).is_empty());
    assert_eq!(rig.takes(r#"["aaw/password/set-new",{"token":"t1","user":1},1]"#), ["in as 1 by t1", "a answered"]);
}

#[test]
fn classic_servers_hear_a_token_of_theirs_only() {
    let mut rig = Rig::open(Dialect::Classic);
    rig.call("aaw/login", "a");
    rig.takes(r#"["aaw/login",{"token":"t1","user":1}]"#);
    // The answers of the original carry no ids.
    assert_eq!(rig.reconnect(Dialect::Classic), [RESUME]);
    assert_eq!(rig.takes(r#"["aaw/resume",{"token":"t1","user":1}]"#), ["in as 1 by t1", "open classic"]);
    assert_eq!(rig.reconnect(Dialect::Classic), [RESUME]);
    assert_eq!(
        rig.takes(r#"["aaw/resume",{"error":"Session expired"}]"#),
        ["unauthorized: Session expired", "open classic"]
    );

    // An unknown event ends the original.
    let mut rig = Rig::open(Dialect::V1);
    rig.call("aaw/login", "a");
    rig.takes(r#"["aaw/login",{"token":"t1","user":1},1]"#);
    assert_eq!(rig.reconnect(Dialect::Classic), ["open classic"]);
    assert_eq!(rig.token(), Some("t1"));
}

#[test]
fn presence_reaches_who_listens() {
    let mut rig = Rig::open(Dialect::V1);
    for event in ["aaw/joined", "aaw/left"] {
        rig.session.handle_text(rig.now, &format!(r#"["{event}",{{"room":"r"}}]"#));
        let outputs = rig.outputs();
        assert!(matches!(&outputs[..], [Output::Push { event: pushed, .. }] if **pushed == *event), "{outputs:?}");
    }
}

#[test]
fn no_debug_shows_a_token() {
    let mut rig = Rig::open(Dialect::V1);
    rig.session.set_token(Some(Token::new("secret")));
    assert!(!format!("{:?}", rig.session).contains("secret"));
}
