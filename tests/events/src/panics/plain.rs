//! Panics. One-way.

pub fn handler() {
    panic!("plain, with a secret")
}
