//! The open hook: until it passes, no call runs and a v1 client receives no welcome.

use super::close::Close;
use super::connection::{ServerConnection, max_encoded_len, shortened};
use super::output::Output;
use crate::codec;
use crate::dialect::Dialect;
use crate::failure::{Code, Failure};
use crate::hello;

impl<T> ServerConnection<T> {
    /// Makes the connection wait for an open hook. Call it right after [`new`](Self::new).
    ///
    /// [`Output::RunOpenHook`] follows when a v1 client has sent its hello, and at once for a classic client. Until
    /// [`handle_open_hook_passed`](Self::handle_open_hook_passed), calls wait in the wait queue, within its limit, and
    /// the connection is not [open](Self::is_open) for pushes. Pings, cancels and credit are handled as usual. The
    /// connection sets no timeout for the hook.
    pub fn wait_for_open_hook(&mut self) {
        self.open_hook_pending = true;
        if self.dialect == Dialect::Classic {
            self.outputs.push_back(Output::RunOpenHook);
        }
    }

    /// The open hook allowed the connection: sends the welcome and lets calls run. Does nothing if no hook is pending
    /// or the connection is closed.
    pub fn handle_open_hook_passed(&mut self) {
        if !self.open_hook_pending || self.closed {
            return;
        }
        self.open_hook_pending = false;
        if self.dialect == Dialect::V1 && self.hello_deadline.is_none() {
            self.send_welcome();
        }
    }

    /// The open hook refused the connection: discards the calls in the wait queue and closes the connection with the
    /// failure's text. Does nothing if the connection is closed already.
    ///
    /// A v1 client also receives the failure as `aaw/error`. The default code [`HANDLER`](Code::HANDLER) is replaced by
    /// [`NOT_ALLOWED`](Code::NOT_ALLOWED).
    pub fn handle_open_hook_refused(&mut self, mut failure: Failure) {
        if self.closed {
            return;
        }
        if self.dialect == Dialect::V1 {
            if failure.code == Code::HANDLER {
                failure.code = Code::NOT_ALLOWED;
            }
            if max_encoded_len(&failure) > self.config.limits.message as usize {
                failure = shortened(&failure);
            }
            self.send(codec::message(hello::ERROR, &failure).into());
        }
        self.wait_queue.clear();
        self.close(Close::refused(&failure.error));
    }
}
