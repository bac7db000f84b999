//! The tests of both state machines, through the public interface. One program, because each one links everything again.

mod client_connection;
mod pair;
mod server_connection;
mod wire;
