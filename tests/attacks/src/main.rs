//! Attacks on the stock server with its default settings, one after the other, and what each costs a well-behaved client.
//! `tests/attacks/run` builds and runs it.
//!
//! Each row of the table has a server of its own, in a process of its own (`server`). Well-behaved clients call `ping` at a
//! fixed rate before, during and after the attack (`probe`), and do what the attack is about (`bystanders`). The attackers
//! (`attacks`, on a `field`) are one thread of a lower priority, at a bounded speed. `row` decides whether a row is held.

mod attack;
mod attacks;
mod budget;
mod bystanders;
mod client;
mod error;
mod explained;
mod field;
mod frames;
mod machine;
mod options;
mod outcomes;
mod pace;
mod probe;
mod row;
mod run_attack;
mod run_kills;
mod sampler;
mod server;
mod sources;
mod store;
mod table;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use attack::Attack;
use error::BoxError;
use options::Options;
use row::{Row, Verdict};
use run_attack::{Suite, Tried};
use server::{Events, Programs, ServerProcess, Setup};
use sources::Sources;

/// Ten thousand connections, and those of the well-behaved clients. Servers inherit it.
const OPEN_FILES: u64 = 16 << 10;

fn main() -> ExitCode {
    let options = Options::parse();
    if options.list {
        for attack in attacks::all() {
            println!("{:20} {}", attack.name, attack.about);
        }
        println!("{:20} {}", run_kills::NAME, run_kills::ABOUT);
        return ExitCode::SUCCESS;
    }
    match rlimit::increase_nofile_limit(OPEN_FILES) {
        Ok(limit) if limit >= OPEN_FILES => {}
        result => eprintln!("attacks: the limit of open files is too low for all idle connections: {result:?}"),
    }
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("attacks: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all attacks that the options select. Returns whether all rows are held or explained.
fn run(options: &Options) -> Result<bool, BoxError> {
    let (programs, started) = (Programs::find()?, Instant::now());
    let twin = ServerProcess::start(&programs, &Setup::new(Events::Stock))?;
    let suite = Suite { programs: &programs, options, twin: twin.address };
    let (mut rows, mut skipped) = (Vec::new(), BTreeMap::new());
    let all = attacks::all();
    for attack in all.iter().filter(|attack| options.selects(attack.name)) {
        for sources in options.sources(attack.quick_sources) {
            let name = format!("{} ({})", attack.name, sources.name());
            match row(attack, sources, &suite).map_err(|error| format!("{name}: {error}"))? {
                Tried::Row(row) => {
                    print!("{}", table::describe(&row));
                    rows.push(*row);
                }
                Tried::Skipped(why) => {
                    println!("{name}: skipped: {why}");
                    skipped.entry(why).or_insert_with(Vec::new).push(name);
                }
            }
        }
    }
    if options.selects(run_kills::NAME) {
        let row = run_kills::run(&programs, options)?;
        print!("{}", table::describe(&row));
        rows.push(row);
    }
    if rows.is_empty() && skipped.is_empty() {
        return Err("no attack has this name; --list prints them".into());
    }

    println!("\n{}", if options.markdown { table::markdown(&rows) } else { table::text(&rows) });
    for (why, names) in &skipped {
        println!("{} rows skipped: {why}: {}", names.len(), names.join(", "));
    }
    let busy = rows.iter().filter(|row| row.surroundings.is_busy()).count();
    if busy > 0 {
        println!("the machine was busy with other programs during {busy} of {} rows", rows.len());
    }
    let count = |wanted: fn(&Verdict) -> bool| rows.iter().filter(|row| wanted(&row.verdict())).count();
    let not_held = count(|verdict| *verdict == Verdict::NotHeld);
    let unclear = count(|verdict| *verdict == Verdict::Unclear);
    println!(
        "{} rows in {:.0} s: {} held, {} explained, {not_held} not held, {unclear} unclear, {} skipped",
        rows.len(),
        started.elapsed().as_secs_f64(),
        count(|verdict| *verdict == Verdict::Held),
        count(|verdict| matches!(verdict, Verdict::Explained(_))),
        skipped.values().map(Vec::len).sum::<usize>()
    );
    Ok(not_held + unclear == 0)
}

/// Runs one attack, and repeats it if the machine may be why it is not held.
fn row(attack: &Attack, sources: Sources, suite: &Suite<'_>) -> Result<Tried, BoxError> {
    let mut tried = run_attack::run(attack, sources, suite)?;
    for _ in 0..suite.options.repeats() {
        match &tried {
            Tried::Row(row) if row.may_be_the_machine() => print_repeated(row),
            _ => break,
        }
        tried = run_attack::run(attack, sources, suite)?;
    }
    Ok(tried)
}

fn print_repeated(row: &Row) {
    println!("{} ({}): on a busy machine, to be repeated:", row.attack, row.sources.name());
    print!("{}", table::describe(row));
}
