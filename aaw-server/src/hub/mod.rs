//! Who is connected, and what others have for a connection.

pub(crate) mod client_calls;
pub(crate) mod host_ops;
pub(crate) mod mailbox;
pub(crate) mod rooms;
pub(crate) mod table;
