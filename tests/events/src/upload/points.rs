//! Answers the `x` of all points that come in; fails at what is no point.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Point {
    x: u32,
}

pub async fn handler(_: Empty, _: Services, incoming: Upload<Point>) -> Result<Vec<u32>> {
    let points: Vec<Result<Point>> = incoming.collect().await;
    points.into_iter().map(|point| point.map(|point| point.x)).collect()
}
