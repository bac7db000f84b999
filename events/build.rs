//! Collects the events of this package.

fn main() {
    aaw_event_build::events();
}
