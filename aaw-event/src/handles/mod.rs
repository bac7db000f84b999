//! A package's handles to the host's objects: reference-counted through the tables of the ABI, and usable from any
//! thread for as long as they live.

mod caller;
mod host_op;
mod upload;

pub(crate) use caller::CallerHandle;
pub(crate) use host_op::PendingHostOp;
pub(crate) use upload::UploadHandle;
