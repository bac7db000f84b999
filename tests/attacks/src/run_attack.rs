//! Runs one attack against a server of its own: a quiet time, the attack, and the time after it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::BoxError;
use crate::attacks::{Attack, Disk};
use crate::budget::Budget;
use crate::bystanders::{self, Bystander, EMAIL, PASSWORD, RunningBystander};
use crate::client::{Client as WebSocketClient, http};
use crate::field::{self, Bounds};
use crate::machine::{MachineTime, cpu_of};
use crate::options::Options;
use crate::probe::{Pings, Probe};
use crate::row::{Client, Failure, Limits, Memory, Row, Surroundings};
use crate::sampler::Sampler;
use crate::server::{Programs, ServerProcess, Setup, works};
use crate::sources::{Place, Sources};

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

/// The store of users, and the disk that it is on.
struct Store {
    folder: TempDir,
    disk: Option<Disk>,
    /// Whether the folder is a file system of the server's own.
    is_mounted: bool,
}

impl Store {
    fn file(&self) -> PathBuf {
        self.folder.path().join("users.sqlite")
    }

    /// Lets the disk fail. Returns why that is not possible, if so.
    fn break_disk(&self, server: &ServerProcess) -> Result<(), String> {
        match self.disk {
            None => Ok(()),
            Some(Disk::Full) if !self.is_mounted => match limit_file_size(server, Some(FILE_SIZE)) {
                true => Ok(()),
                false => Err("neither mounting a small file system nor limiting file sizes is possible here".to_owned()),
            },
            Some(Disk::Full) => {
                let filler = server.path(&self.folder.path().join("filler"));
                // Until nothing more fits.
                let mut file = std::fs::File::create(&filler).map_err(|error| format!("{}: {error}", filler.display()))?;
                while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
                Ok(())
            }
            Some(Disk::ReadOnly) => {
                if self.change_attribute("+i") {
                    return Ok(());
                }
                self.change_attribute("-i");
                Err("the files of the store cannot be made immutable here (chattr +i)".to_owned())
            }
        }
    }

    fn mend_disk(&self, server: &ServerProcess) {
        match self.disk {
            None => {}
            Some(Disk::Full) if !self.is_mounted => {
                limit_file_size(server, None);
            }
            Some(Disk::Full) => {
                let _ = std::fs::remove_file(server.path(&self.folder.path().join("filler")));
            }
            Some(Disk::ReadOnly) => {
                self.change_attribute("-i");
            }
        }
    }

    /// An immutable file cannot be written to, not even by a program that has opened it before: as on a disk that the system
    /// has made read-only after an error.
    fn change_attribute(&self, change: &str) -> bool {
        let files = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten().map(|entry| entry.path());
        works(Command::new("chattr").arg(change).arg(self.folder.path()).args(files))
    }
}

/// The size of the largest file where a file-size limit stands for a full disk: one page of the database.
const FILE_SIZE: u32 = 4096;

/// Limits the size of the files that a running server may write, where no file system can be mounted: its writes beyond that
/// fail. Without a size, lifts the limit.
fn limit_file_size(server: &ServerProcess, size: Option<u32>) -> bool {
    let limit = size.map_or_else(|| "unlimited".to_owned(), |size| size.to_string());
    // The limit that the process may raise itself: the other one stays, so that this one can be lifted again.
    works(Command::new("prlimit").args(["--pid", &server.id().to_string(), &format!("--fsize={limit}:")]))
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.disk == Some(Disk::ReadOnly) {
            self.change_attribute("-i");
        }
    }
}

/// Runs an attack from somewhere.
pub(crate) fn run(
    attack: &Attack,
    sources: Sources,
    programs: &Programs,
    options: &Options,
) -> Result<Tried, BoxError> {
    if sources == Sources::Proxy && !programs.has_trusted_proxy {
        return Ok(Tried::Skipped("this aaw-server has no --trusted-proxy".to_owned()));
    }
    let mut setup = Setup::new(attack.events);
    setup.trusts_proxy = sources == Sources::Proxy;
    setup.open_files = attack.open_files;
    let store = attack.has_auth.then(|| store(attack.disk)).transpose()?;
    if let Some(store) = &store {
        setup.auth = Some(store.file());
        if store.is_mounted {
            setup.small_disk = Some(store.folder.path().to_owned());
        }
        setup.ignores_file_size_signal = store.disk == Some(Disk::Full) && !store.is_mounted;
    }
    let server = ServerProcess::start(programs, &setup)?;
    let target = server.address;
    warm_up(target, &sources.elsewhere(1), attack.has_auth)?;
    let machine = Stage { attack, sources, options, server, target };
    machine.measure(store.as_ref())
}

fn store(disk: Option<Disk>) -> Result<Store, BoxError> {
    let folder = TempDir::new()?;
    let mount = r#"mount -t tmpfs -o size=1m tmpfs "$0""#;
    let is_mounted = disk == Some(Disk::Full)
        && works(Command::new("unshare").args(["--mount", "sh", "-c", mount]).arg(folder.path()));
    Ok(Store { folder, disk, is_mounted })
}

/// Uses what the server initialises once, so that it does not count as growth.
fn warm_up(target: std::net::SocketAddr, place: &Place, has_auth: bool) -> Result<(), String> {
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
    options: &'a Options,
    server: ServerProcess,
    target: std::net::SocketAddr,
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
        let Self { attack, sources, options, target, .. } = self;
        let sampler = Sampler::start(self.server.id());
        let client = Probe::start(target, &sources.elsewhere(1))?;
        let neighbour = Probe::start(target, &sources.attacker(0))?;
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
        let bystanders = bystanders.into_iter().map(RunningBystander::stop).collect();
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
        drop(sampler);
        failures.extend(self.stop());

        let budget = Some(Budget::new(attack.keeps, connections, sources.addresses()));
        let mut row = Row {
            attack: attack.name,
            sources,
            budget,
            memory,
            client,
            neighbour,
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
            leads_to: if options.quick { &[] } else { attack.leads_to },
        });
        Ok(Tried::Row(Box::new(row)))
    }

    fn cpu(&self) -> Duration {
        cpu_of(&self.server.id().to_string())
    }

    fn start_bystanders(&self) -> Vec<RunningBystander> {
        let place = |number| self.sources.elsewhere(number);
        let start = |(number, bystander): (u8, &Bystander)| {
            RunningBystander::start(*bystander, self.target, place(number))
        };
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
        // An account that was attacked may be locked; the disk is the question here.
        store.filter(|store| store.disk.is_some())?;
        let user = || bystanders::log_in(self.target, &place, EMAIL, PASSWORD);
        let error = until_ok(STORE_RECOVERY, user).err()?;
        Some(Failure::new(format!("after the disk was in order again, a log-in fails: {error}")))
    }

    fn stop(self) -> Option<Failure> {
        let mut server = self.server;
        // Reported already.
        if server.ended().is_some() {
            return None;
        }
        server.stop().err().map(Failure::new)
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
