//! The machine: what it is, and how busy it is with other programs.

use std::io;
use std::process::Command;
use std::time::Duration;

/// Returns the part of the processors' time that other programs use now, from 0 to 1 (proc(5)). No server runs meanwhile.
pub(crate) fn busy() -> io::Result<f64> {
    let before = ticks()?;
    std::thread::sleep(Duration::from_millis(200));
    let after = ticks()?;
    let [idle, all] = [after[0] - before[0], after[1] - before[1]];
    Ok(if all > 0.0 { 1.0 - idle / all } else { 0.0 })
}

/// Returns the ticks of all processors without work, and all ticks.
fn ticks() -> io::Result<[f64; 2]> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<f64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // The fourth and fifth are idle and waiting for a disk; the first eight are all that are not part of another.
    Ok([fields.iter().skip(3).take(2).sum(), fields.iter().take(8).sum()])
}

/// Returns the name of the processor and of the system.
pub(crate) fn describe() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, name)| name);
    // Not the processors that this process is pinned to.
    let processors = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {processors} processors, Linux {}", release.trim())
}

/// Returns the date, in UTC.
pub(crate) fn today() -> String {
    let output = Command::new("date").args(["-u", "+%F"]).output();
    output
        .map_or_else(|_| "unknown date".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
