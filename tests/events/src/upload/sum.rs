//! Answers the sum of the numbers that come in.

use aaw_event::prelude::*;

pub async fn handler(_: Empty, _: Services, mut incoming: Upload<i64>) -> Result<i64> {
    let mut sum = 0;
    while let Some(number) = incoming.next().await {
        sum += number?;
    }
    Ok(sum)
}
