//! A call of it uses fifty times as much of its caller's rate as another one.

pub const COST: u32 = 50;

pub async fn handler() -> u32 {
    COST
}
