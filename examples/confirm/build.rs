//! Generates the list of events from the files in `src/`.

fn main() {
    aaw_event_build::events();
}
