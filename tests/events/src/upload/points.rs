//! Returns the `x` of all points of the upload; fails at an item that is not a point.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Point {
    x: u32,
}

pub async fn handler(_: Empty, _: Services, upload: Upload<Point>) -> Result<Vec<u32>> {
    let points: Vec<Result<Point>> = upload.collect().await;
    points.into_iter().map(|point| point.map(|point| point.x)).collect()
}
