//! Finds the events.

fn main() {
    aaw_event_build::events();
}
