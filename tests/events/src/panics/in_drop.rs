//! Panics when its last local value is dropped.

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in drop, with a secret")
    }
}

pub async fn handler() -> bool {
    let _bomb = Bomb;
    true
}
