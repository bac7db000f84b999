//! The machine: processor time and memory as the kernel accounts them (proc(5)).

use std::fs;
use std::time::Duration;

/// The kernel accounts processor time of processes in hundredths of a second, on every system in use.
const TICK: Duration = Duration::from_millis(10);

/// The processor time of the whole machine at one moment, in ticks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MachineTime {
    idle: f64,
    stolen: f64,
    all: f64,
}

impl MachineTime {
    pub(crate) fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let fields: Vec<f64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        // The fourth and fifth are idle and waiting for a disk, the eighth was used by other virtual machines; the first
        // eight are all that are not part of another.
        Self {
            idle: fields.iter().skip(3).take(2).sum(),
            stolen: fields.get(7).copied().unwrap_or_default(),
            all: fields.iter().take(8).sum(),
        }
    }

    /// Returns the part of all processors' time since `before` that was used by others than `own`, and the part that
    /// other virtual machines took, from 0 to 1.
    pub(crate) fn others_since(self, before: Self, own: Duration) -> (f64, f64) {
        let all = self.all - before.all;
        if all <= 0.0 {
            return (0.0, 0.0);
        }
        let used = all - (self.idle - before.idle);
        let own = own.as_secs_f64() / TICK.as_secs_f64();
        (((used - own) / all).clamp(0.0, 1.0), (self.stolen - before.stolen) / all)
    }
}

/// Returns the processor time of a process so far, with that of its children that have ended.
pub(crate) fn cpu_of(pid: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name of the program, in parentheses, may contain spaces.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// Returns the processor time of the calling thread so far.
pub(crate) fn cpu_of_this_thread() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(schedstat.split_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or(0))
}

/// Returns the resident memory of a process that belongs to no file, in bytes; `None` if the process has ended.
pub(crate) fn memory_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// Changes how the scheduler weighs the calling thread; not being allowed to is no error.
pub(crate) fn set_niceness_of_this_thread(niceness: i32) {
    // On Linux, the niceness is that of a thread, and `None` the calling one.
    let _ = rustix::process::setpriority_process(None, niceness);
}
