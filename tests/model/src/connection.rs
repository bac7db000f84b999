//! The turns of a connection's task, as `aaw-server/src/connection/socket_task.rs` takes them. A command to cancel a client
//! call stands for a call: it is responded to. The command to drop a state that is away stands for a socket that breaks.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use aaw_protocol::server::ClientCallKey;
use aaw_protocol::websocket::FrameBuffer;

use crate::doubles::sync::Arc;
use crate::mailbox::{Command, SharedSocket, TurnEnd, WriteEnd, WriteProgress, try_write};
use crate::peer::Peer;

/// The sender of responses, which the task itself appends.
pub(crate) const TASK: u64 = 9;

/// The sender of the welcome on another socket.
pub(crate) const WELCOME: u64 = 8;

/// Message `number` of a sender: three bytes, five with the header.
pub(crate) fn message(sender: u64, number: u64) -> Vec<u8> {
    format!("{sender}:{number}").into_bytes()
}

/// Serves until the command to stop, and closes then. When the socket breaks, it continues on the `next` one.
pub(crate) async fn serve(peer: Arc<Peer>, socket: SharedSocket, next: Option<SharedSocket>) {
    let mut task = Task { peer, socket, next, is_away: false, stopping: false };
    poll_fn(|cx| task.turn(cx)).await;
    let mut log = poll_fn(|cx| task.peer.mailbox.poll_take_log(cx)).await;
    poll_fn(|cx| {
        while !log.is_empty() {
            ready!(task.poll_write(cx, &mut log));
        }
        Poll::Ready(())
    })
    .await;
    task.socket.close();
}

struct Task {
    peer: Arc<Peer>,
    socket: SharedSocket,
    next: Option<SharedSocket>,
    is_away: bool,
    stopping: bool,
}

impl Task {
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.peer.mailbox.register(cx.waker());
        let blocked = self.peer.mailbox.begin_turn().blocked;
        let mut output = FrameBuffer::default();
        let mut has_rest = false;
        if blocked && self.socket.poll_write_ready(cx).is_ready() && self.peer.mailbox.resume_write(&mut output) {
            has_rest |= self.write(cx, &mut output);
        }
        loop {
            let (mut commands, mut breaks) = (VecDeque::new(), false);
            if self.peer.mailbox.has_commands() {
                self.peer.mailbox.take(&mut commands);
            }
            for command in commands {
                match command {
                    Command::Push(frame) => output.push(&frame),
                    Command::CancelClientCall(ClientCallKey(number)) => output.text(message(TASK, number).into()),
                    Command::DropAway => breaks = true,
                    Command::Stop => self.stopping = true,
                    other => panic!("{other:?}"),
                }
            }
            if breaks {
                self.peer.mailbox.go_away(&mut output);
                self.is_away = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.is_away && self.peer.mailbox.may_come_back() {
                self.socket = self.next.take().expect("a socket breaks once");
                let log = FrameBuffer::default();
                self.peer.mailbox.come_back(log, message(WELCOME, 0).into(), Some(Arc::clone(&self.socket)));
                self.is_away = false;
            }
            match self.peer.mailbox.end_turn(None, &mut output, true, has_rest) {
                TurnEnd::Commands => {}
                TurnEnd::Write => {
                    has_rest |= self.write(cx, &mut output);
                    break;
                }
                TurnEnd::Waits | TurnEnd::Written => break,
            }
        }
        let is_over = self.stopping && !self.peer.mailbox.has_commands();
        if has_rest && !is_over {
            cx.waker().wake_by_ref();
        }
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns whether another turn must go on.
    fn write(&self, cx: &Context<'_>, output: &mut FrameBuffer) -> bool {
        for write in 1.. {
            let mut progress = WriteProgress::of(output);
            while !output.is_empty() && self.poll_write(cx, output).is_ready() {}
            progress.finish(output);
            match self.peer.mailbox.finish_write(output, progress, write) {
                WriteEnd::More => {}
                WriteEnd::Rest => return true,
                WriteEnd::Done { .. } => break,
            }
        }
        false
    }

    fn poll_write(&self, cx: &Context<'_>, frames: &mut FrameBuffer) -> Poll<()> {
        loop {
            match try_write(&self.socket, frames) {
                Ok(len) => {
                    frames.advance(len);
                    return Poll::Ready(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.socket.poll_write_ready(cx)),
                Err(error) => panic!("{error}"),
            }
        }
    }
}
