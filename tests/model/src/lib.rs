//! The locks and wake-ups of a connection's outgoing log, under schedules that a model checker chooses.
//!
//! Threads that push, the flusher, the connection's task and a client that reads run under shuttle, which switches between
//! them at each lock, each atomic access and each wake-up, at random and by a schedule that finds rare orders with a known
//! probability. With each schedule, all that was pushed must arrive once, whole and in order; if no thread is left to write
//! something, all of them wait, which shuttle reports as a deadlock.
//!
//! The code of the mailbox and of the flusher is that of `aaw-server/src/hub`: the build script replaces only what it
//! imports. The turns of the task follow those of `aaw-server/src/connection/socket_task.rs`. `AtomicWaker`, of futures-util,
//! is the real one, and is one step here.
//!
//! A failure prints a schedule. `shuttle::replay` runs it again.

#![forbid(unsafe_code)]

#[cfg(test)]
mod doubles;
#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the model does not use all of it")]
mod flusher {
    include!(concat!(env!("OUT_DIR"), "/flusher.rs"));
}
#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the model does not use all of it")]
mod mailbox {
    include!(concat!(env!("OUT_DIR"), "/mailbox.rs"));
}
#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the model does not use all of it")]
mod reader_pace {
    include!(concat!(env!("OUT_DIR"), "/reader_pace.rs"));
}
#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the model does not use all of it")]
mod sender_hold {
    include!(concat!(env!("OUT_DIR"), "/sender_hold.rs"));
}
#[cfg(test)]
mod connection;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod schedules;

/// What the imports of the mailbox name, of which the model has no values.
#[cfg(test)]
mod auth {
    #[derive(Debug)]
    pub(crate) struct Session;
}
#[cfg(test)]
mod memory_budget {
    #[derive(Debug)]
    pub(crate) struct CallBudget;
}
#[cfg(test)]
mod resume_request {
    use aaw_protocol::websocket::NeverSent;

    #[derive(Debug)]
    pub(crate) struct ResumeRequest;
    #[derive(Debug)]
    #[allow(dead_code, reason = "the model does not read it")]
    pub(crate) enum ResumeRefusal {
        NeverSent(NeverSent),
        Forgotten { received: u64 },
    }
}
