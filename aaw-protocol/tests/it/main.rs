//! The tests of both state machines and of the framing, through the public interface. One program, because each one links everything again.

mod client_connection;
mod pair;
mod resumption;
mod server_connection;
mod websocket;
mod wire;
