//! The opening that somebody has to agree to: until then nothing runs, and a v1 client hears no welcome.

use super::connection::{ServerConnection, shortened, worst_size};
use super::output::{Close, Output};
use crate::codec;
use crate::dialect::Dialect;
use crate::failure::{Code, Failure};
use crate::hello;

impl ServerConnection {
    /// The connection is not open until [`opened`](Self::opened); to be said right after [`new`](Self::new). At the
    /// client's hello, or at once if it says none, [`Output::RunOpenHook`] asks for the decision.
    ///
    /// Meanwhile calls wait in line, within its bounds, and nothing is pushed; pings, cancels and credit are taken as
    /// ever. How long it may take is up to whoever decides: the session waits for ever.
    pub fn wait_for_open_hook(&mut self) {
        self.held = true;
        if self.dialect == Dialect::Classic {
            self.outputs.push_back(Output::RunOpenHook);
        }
    }

    /// The connection may be: the welcome goes out, and calls may run. Nothing if it was not held, or has ended.
    pub fn handle_open_hook_passed(&mut self) {
        if !self.held || self.closed {
            return;
        }
        self.held = false;
        if self.dialect == Dialect::V1 && self.hello_due.is_none() {
            self.welcome();
        }
    }

    /// The connection may not be: says why, forgets the calls that wait, and closes it. A v1 client is told the failure
    /// by `aaw/error`; one whose code is [`HANDLER`](Code::HANDLER), so that nobody chose one, becomes
    /// [`NOT_ALLOWED`](Code::NOT_ALLOWED). Nothing if it has ended already.
    pub fn handle_open_hook_refused(&mut self, mut failure: Failure) {
        if self.closed {
            return;
        }
        if self.dialect == Dialect::V1 {
            if failure.code == Code::HANDLER {
                failure.code = Code::NOT_ALLOWED;
            }
            if worst_size(&failure) > self.config.limits.message as usize {
                failure = shortened(&failure);
            }
            self.send(codec::message(hello::ERROR, &failure).into());
        }
        self.line.clear();
        self.close(Close::refused(&failure.error));
    }
}
