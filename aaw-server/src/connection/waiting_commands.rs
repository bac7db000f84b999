//! The commands that a connection has taken from its mailbox and not handled yet.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

use crate::hub::Command;

/// A queue of commands. Between turns it is mostly empty, and one pointer then.
#[derive(Default)]
#[expect(clippy::box_collection, reason = "one pointer instead of four: each connection has a queue")]
pub(super) struct WaitingCommands(Option<Box<VecDeque<Command>>>);

impl Deref for WaitingCommands {
    type Target = VecDeque<Command>;

    fn deref(&self) -> &VecDeque<Command> {
        const EMPTY: &VecDeque<Command> = &VecDeque::new();
        self.0.as_deref().unwrap_or(EMPTY)
    }
}

impl DerefMut for WaitingCommands {
    fn deref_mut(&mut self) -> &mut VecDeque<Command> {
        self.0.get_or_insert_default()
    }
}
