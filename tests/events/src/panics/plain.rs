//! Panics, and is plain.

pub fn handler() {
    panic!("plain, with a secret")
}
