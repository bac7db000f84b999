//! Panics with a payload that panics when it is dropped.

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload, with a secret")
    }
}

pub async fn handler() -> bool {
    std::panic::panic_any(Bomb)
}
