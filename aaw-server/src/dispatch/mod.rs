//! From a call to its response, whichever transport the call arrived by.
//!
//! A handler is polled once where its call arrived. Most handlers complete then, and cost no task, no channel and no
//! wake-up. Otherwise the transport continues what dispatch returns, a future or a stream, for example as a task that
//! may use another core.
//!
//! | module | |
//! |---|---|
//! | `dispatcher` | finds the event, authorizes the call, begins its handler |
//! | `request` | a call as a transport hands it over |
//! | `response_frame` | where a response is written |
//! | `response_buffer` | where the handler of a call that has waited writes it |
//! | `dispatched` | the state of a call after its first poll |
//! | `hooks` | runs `_open`, `_close`, `_resume`, `_away`, `_back` and `_password_reset` |
//! | `guards` | runs the guards of the event's folders before its handler |
//! | `pending` | calls that did not complete in their first poll |
//! | `gather` | a stream whose caller expects one response, or none |
//! | `stream` | the items of a streaming handler |
//! | `run_limit` | how long a handler and a guard may run |
//! | `completion` | from a handler's last step to the completion of its call |
//! | `call_span` | the span of a call: what is logged while its handler runs belongs to it |
//! | `call_recorder` | what the hook of [`Server::on_call`](crate::Server::on_call) receives |

mod call_recorder;
mod call_span;
mod completion;
mod describe;
mod dispatched;
mod dispatcher;
mod gather;
mod guards;
mod hooks;
mod pending;
mod request;
mod response_buffer;
mod response_frame;
mod run_limit;
mod stream;
#[cfg(all(test, feature = "auth"))]
mod tests;

pub(crate) use call_recorder::CallHook;
pub(crate) use dispatched::Dispatched;
pub(crate) use dispatcher::Dispatch;
pub(crate) use pending::PendingCall;
#[cfg(feature = "http")]
pub(crate) use request::NoUpload;
pub(crate) use request::{CallSource, DispatchRequest};
pub(crate) use response_buffer::FRAME_END;
pub(crate) use response_frame::ResponseFrame;
pub(crate) use run_limit::RunLimits;
pub(crate) use stream::{HandlerStream, StreamStep};
