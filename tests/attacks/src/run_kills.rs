//! Kills the server while users register: each registration that was answered exists after the restart.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::bystanders::{expect, log_in};
use crate::client::Client;
use crate::error::BoxError;
use crate::field::AttackReport;
use crate::options::Options;
use crate::row::{Failure, Memory, Row, Surroundings};
use crate::server::{Events, Programs, ServerProcess, Setup};
use crate::sources::Sources;

pub(crate) const NAME: &str = "kill -9";

pub(crate) const ABOUT: &str = "the server is killed while users register, and started again";

/// How many clients register users at the same time.
const CLIENTS: usize = 8;

/// How many of the users log in with their passwords after a restart; all of them continue their sessions.
const LOG_INS: usize = 5;

/// A user whose registration was answered.
struct Registered {
    email: String,
    token: String,
}

pub(crate) fn run(programs: &Programs, options: &Options) -> Result<Row, BoxError> {
    let folder = TempDir::new()?;
    let setup = Setup { auth: Some(folder.path().join("users.sqlite")), ..Setup::new(Events::Stock) };
    let rounds = if options.quick { 2 } else { 10 };
    let (mut failures, mut users, mut slowest) = (Vec::new(), 0, Duration::ZERO);
    for round in 0..rounds {
        let mut server = ServerProcess::start(programs, &setup)?;
        let target = server.address;
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| std::thread::spawn(move || register(target, round, client))).collect();
        // At another moment in each round.
        let random = RandomState::new().hash_one(round) % 900;
        std::thread::sleep(Duration::from_millis(300 + random));
        server.kill()?;
        let registered: Vec<Registered> =
            clients.into_iter().filter_map(|client| client.join().ok()).flatten().collect();

        let started = Instant::now();
        let server = ServerProcess::start(programs, &setup)?;
        slowest = slowest.max(started.elapsed());
        users += registered.len();
        failures.extend(check(server.address, &registered).into_iter().map(Failure::new));
        failures.extend(server.stop().err().map(Failure::new));
    }
    if users < rounds {
        failures.push(Failure::new(format!("only {users} registrations were answered")));
    }
    let notes = vec![format!(
        "{users} registrations were answered before {rounds} kills; all sessions continue; the slowest start took {:.1} s",
        slowest.as_secs_f64()
    )];
    Ok(Row {
        attack: NAME,
        sources: Sources::One,
        budget: None,
        memory: Memory::default(),
        client: None,
        neighbour: None,
        twin: None,
        report: AttackReport::default(),
        bystanders: Vec::new(),
        surroundings: Surroundings::default(),
        log_lines: 0,
        notes,
        failures,
    })
}

/// Registers users until the server is gone. Returns those whose registration was answered.
fn register(target: SocketAddr, round: usize, client: usize) -> Vec<Registered> {
    let mut registered = Vec::new();
    for number in 0.. {
        let email = format!("u{round}-{client}-{number}@example.org");
        let body = format!(r#"{{"email":"{email}","password":"correct horse"}}"#);
        let place = Sources::One.elsewhere(30);
        let response = Client::connect(target, &place).and_then(|mut client| client.call("aaw/register", &body));
        let Ok(response) = response else { break };
        let token = response.split_once(r#""token":""#).and_then(|(_, rest)| rest.split_once('"'));
        if let Some((token, _)) = token {
            registered.push(Registered { email, token: token.to_owned() });
        }
    }
    registered
}

/// Checks that the sessions go on, and that some of the users can log in. Returns what is wrong.
fn check(target: SocketAddr, registered: &[Registered]) -> Vec<String> {
    let place = Sources::One.elsewhere(31);
    let mut wrong = Vec::new();
    for Registered { email, token } in registered {
        let resume = Client::connect(target, &place)
            .and_then(|mut client| client.call("aaw/resume", &format!(r#"{{"token":"{token}"}}"#)))
            .and_then(|response| expect(&response, email));
        if let Err(error) = resume {
            wrong.push(format!("the session of {email}, whose registration was answered, is lost: {error}"));
        }
    }
    for Registered { email, .. } in registered.iter().rev().take(LOG_INS) {
        if let Err(error) = log_in(target, &place, email, "correct horse") {
            wrong.push(format!("{email}, whose registration was answered, cannot log in: {error}"));
        }
    }
    wrong.truncate(5);
    wrong
}
