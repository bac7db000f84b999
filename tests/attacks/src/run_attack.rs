//! Runs one attack against a server of its own: a quiet time, the attack, and the time after it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::attack::Attack;
use crate::budget::Budget;
use crate::bystanders::{self, Bystander, BystanderReport, EMAIL, PASSWORD, RunningBystander};
use crate::client::{Client as WebSocketClient, http};
use crate::error::BoxError;
use crate::field::{self, Bounds};
use crate::machine::{MachineTime, cpu_of};
use crate::options::Options;
use crate::probe::{Pings, Probe};
use crate::row::{Client, Failure, Limits, Memory, Row, Surroundings};
use crate::sampler::Sampler;
use crate::server::{Programs, ServerProcess, Setup};
use crate::sources::{Place, Sources};
use crate::store::Store;

/// How long the server may take until its memory is back.
const REST: Duration = Duration::from_secs(10);

/// How long calls are measured after the attack, at least.
const AFTER: Duration = Duration::from_millis(500);

/// How long a new client may be refused after the attack.
const RECOVERY: Duration = Duration::from_secs(5);

/// How long a client of a store whose disk is in order again may be refused.
const STORE_RECOVERY: Duration = Duration::from_secs(5);

/// The number of processors, for figures per processor.
fn processors() -> f64 {
    std::thread::available_parallelism().map_or(1, usize::from) as f64
}

/// The result of trying to run an attack.
pub(crate) enum Tried {
    Row(Box<Row>),
    /// Not possible here, and why.
    Skipped(String),
}

/// What all rows share.
pub(crate) struct Suite<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) options: &'a Options,
    /// A server that is not attacked. What its client notices is what the machine costs, not the server.
    pub(crate) twin: SocketAddr,
}

/// Runs an attack from somewhere.
pub(crate) fn run(attack: &Attack, sources: Sources, suite: &Suite<'_>) -> Result<Tried, BoxError> {
    let programs = suite.programs;
    if sources == Sources::Proxy && !programs.has_trusted_proxy {
        return Ok(Tried::Skipped("this aaw-server has no --trusted-proxy".to_owned()));
    }
    let mut setup = Setup::new(attack.events);
    setup.trusts_proxy = sources == Sources::Proxy;
    setup.open_files = attack.open_files;
    let store = match attack.has_auth.then(|| Store::new(attack.disk)).transpose()? {
        Some(Ok(store)) => Some(store),
        Some(Err(reason)) => return Ok(Tried::Skipped(reason)),
        None => None,
    };
    if let Some(store) = &store {
        store.set_up(&mut setup);
    }
    let server = ServerProcess::start(programs, &setup)?;
    let target = server.address;
    warm_up(target, &sources.elsewhere(1), attack.has_auth)?;
    Stage { attack, sources, suite, setup, server, target }.measure(store.as_ref())
}

/// Uses what the server initialises once, so that it does not count as growth.
fn warm_up(target: SocketAddr, place: &Place, has_auth: bool) -> Result<(), String> {
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = WebSocketClient::connect(target, place)?;
        for _ in 0..20 {
            client.call("ping", "null")?;
        }
        clients.push(client);
    }
    for client in clients.iter_mut().take(4) {
        client.call("notify", r#"{"a":[1,2,3]}"#)?;
    }
    http(target, place, "POST /events/ping", "")?;
    if has_auth {
        let user = format!(r#"{{"email":"{EMAIL}","password":"{PASSWORD}"}}"#);
        bystanders::expect(&clients[0].call("aaw/register", &user)?, r#""token":"#)?;
        bystanders::log_in(target, place, EMAIL, PASSWORD)?;
    }
    Ok(())
}

struct Stage<'a> {
    attack: &'a Attack,
    sources: Sources,
    suite: &'a Suite<'a>,
    setup: Setup,
    server: ServerProcess,
    target: SocketAddr,
}

/// The moments between which values are compared.
struct Moments {
    quiet: Instant,
    attack: Instant,
    rest: Instant,
    end: Instant,
}

impl Stage<'_> {
    fn measure(mut self, store: Option<&Store>) -> Result<Tried, BoxError> {
        let Self { attack, sources, target, suite: Suite { options, twin, .. }, .. } = self;
        let sampler = Sampler::start(self.server.id());
        let client = Probe::start(target, &sources.elsewhere(1))?;
        let neighbour = Probe::start(target, &sources.attacker(0))?;
        let twin = Probe::start(*twin, &Sources::One.elsewhere(40))?;
        let quiet = Instant::now();
        std::thread::sleep(options.quiet_time());
        let before = sampler.now();
        if let Some(store) = store
            && let Err(reason) = store.break_disk(&self.server)
        {
            return Ok(Tried::Skipped(reason));
        }

        let (log_lines, server_cpu, own_cpu) = (self.server.log_lines(), self.cpu(), cpu_of("self"));
        let (machine, begun) = (MachineTime::now(), Instant::now());
        let bystanders = self.start_bystanders();
        let connections = if options.quick { attack.connections.1 } else { attack.connections.0 };
        let time = options.attack_time(attack.at_least);
        let bounds = Bounds { time, bytes_per_second: attack.bytes_per_second, connections };
        let report = field::run(attack.run, target, sources, bounds)?;
        let rest = Instant::now();
        let bystanders = BystanderReport::merge(bystanders.into_iter().map(RunningBystander::stop).collect());
        let server_cpu = self.cpu().saturating_sub(server_cpu);
        let own_cpu = cpu_of("self").saturating_sub(own_cpu);
        let (others, stolen) = MachineTime::now().others_since(machine, server_cpu + own_cpu);
        let server = server_cpu.as_secs_f64() / begun.elapsed().as_secs_f64();
        let surroundings = Surroundings { server, others: others * processors(), stolen: stolen * processors() };
        if let Some(store) = store {
            store.mend_disk(&self.server);
        }

        let mut failures = Vec::new();
        let memory = self.rest(&sampler, before, begun, rest);
        let log_lines = self.server.log_lines() - log_lines;
        failures.extend(self.recovery(store));
        let moments = Moments { quiet, attack: begun, rest, end: Instant::now() };
        let client = Some(client.stop().map(|pings| latencies(&pings, &moments))?);
        let neighbour = Some(neighbour.stop().map(|pings| latencies(&pings, &moments))?);
        let twin = Some(twin.stop().map(|pings| latencies(&pings, &moments))?);
        drop(sampler);
        failures.extend(self.stop(store));

        // Readers may have as much unread as anyone.
        let readers = attack.bystanders.iter().filter(|one| **one == Bystander::Reader).count();
        let addresses = sources.addresses() + readers.min(1);
        let budget = Some(Budget::new(attack.keeps, connections + readers, addresses));
        let mut row = Row {
            attack: attack.name,
            sources,
            budget,
            memory,
            client,
            neighbour,
            twin,
            report,
            bystanders,
            surroundings,
            log_lines,
            notes: Vec::new(),
            failures,
        };
        row.judge(Limits {
            latency_slack: options.latency_slack(),
            slowest_bystander: options.slowest_bystander(),
            spares_neighbours: attack.spares_neighbours,
            // A short run ends before the server's own timeouts.
            leads_to: if options.quick && !attack.at_least.is_zero() { &[] } else { attack.leads_to },
        });
        Ok(Tried::Row(Box::new(row)))
    }

    fn cpu(&self) -> Duration {
        cpu_of(&self.server.id().to_string())
    }

    fn start_bystanders(&self) -> Vec<RunningBystander> {
        let place = |number| self.sources.elsewhere(number);
        let start =
            |(number, bystander): (u8, &Bystander)| RunningBystander::start(*bystander, self.target, place(number));
        (10..).zip(self.attack.bystanders).map(start).collect()
    }

    /// Waits until the memory is back, for [`REST`] at most.
    fn rest(&self, sampler: &Sampler, before: u64, begun: Instant, rest: Instant) -> Memory {
        let limit = Memory::limit_of_rest(before);
        let mut back_after = None;
        while rest.elapsed() < REST {
            if sampler.now() <= limit && rest.elapsed() >= AFTER {
                back_after = Some(rest.elapsed());
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Memory { before, peak: sampler.peak(begun), after: sampler.now(), back_after }
    }

    /// Checks that the server serves new clients, and its store, if it has one.
    fn recovery(&mut self, store: Option<&Store>) -> Option<Failure> {
        if let Some(status) = self.server.ended() {
            let log = self.server.last_lines();
            return Some(Failure::new(format!("the server has ended: {status}. Its log: {log}")));
        }
        let place = self.sources.elsewhere(20);
        let newcomer = || {
            let pong = WebSocketClient::connect(self.target, &place)?.call("ping", "null")?;
            bystanders::expect(&pong, r#"{"pong":true}"#)
        };
        if let Err(error) = until_ok(RECOVERY, newcomer) {
            return Some(Failure::new(format!("after the attack, a new client is not served: {error}")));
        }
        // An account that was attacked may be locked; a disk is the question here.
        store.filter(|store| store.can_be_mended())?;
        let user = || bystanders::log_in(self.target, &place, EMAIL, PASSWORD);
        let error = until_ok(STORE_RECOVERY, user).err()?;
        Some(Failure::new(format!("after the disk was in order again, a log-in fails: {error}")))
    }

    /// Stops the server, and starts it once more if the disk of its store needs that.
    fn stop(self, store: Option<&Store>) -> Option<Failure> {
        let mut server = self.server;
        // That it has ended is reported already.
        if server.ended().is_none()
            && let Err(error) = server.stop()
        {
            return Some(Failure::new(error));
        }
        store.filter(|store| store.needs_restart())?;
        let restarted = ServerProcess::start(self.suite.programs, &self.setup).map_err(|error| error.to_string());
        let place = self.sources.elsewhere(20);
        let logged_in = restarted.and_then(|server| bystanders::log_in(server.address, &place, EMAIL, PASSWORD));
        let error = logged_in.err()?;
        Some(Failure::new(format!("after a restart with the disk in order, a log-in fails: {error}")))
    }
}

/// Repeats something until it works, or the time is over.
fn until_ok(time: Duration, mut act: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let started = Instant::now();
    loop {
        match act() {
            Err(_) if started.elapsed() < time => std::thread::sleep(Duration::from_millis(200)),
            result => return result,
        }
    }
}

fn latencies(pings: &Pings, moments: &Moments) -> Client {
    Client {
        quiet: pings.between(moments.quiet, moments.attack),
        during: pings.between(moments.attack, moments.rest),
        after: pings.between(moments.rest, moments.end),
        ended: pings.ended.clone(),
    }
}
