//! What the handler waits for.

/// What a call waits for, once.
#[derive(Debug, Clone, Copy)]
pub enum Wait {
    /// A timer of 0 ms, which expires at the next tick. Most of what it costs is tokio's timer, which wakes another thread.
    Timer,
    /// The other tasks that are ready, to which it yields. Measures the server's part alone.
    Yield,
}

pub fn services() -> Wait {
    Wait::Timer
}
