//! A child process that is killed together with the processes that it has started.

use std::io;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// A process group, which is killed when this is dropped.
///
/// Killing cargo alone would leave a compiler or a build script running, which may never end. A group of its own also
/// keeps the Ctrl-C of a terminal from cargo: this program decides what it ends.
#[derive(Debug)]
pub(super) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// Starts a command as the leader of a new group.
    pub(super) fn spawn(command: &mut Command) -> io::Result<(Child, Self)> {
        let child = command.process_group(0).spawn()?;
        let leader = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok((child, Self(leader)))
    }

    /// The leader has ended and was waited for. The system may use the number of the group again, so it is not killed.
    pub(super) fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Fails only if all of its processes have ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
