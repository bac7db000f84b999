//! Returns the sum of the numbers of the upload.

use aaw_event::prelude::*;

pub async fn handler(_: Empty, _: Services, mut upload: Upload<i64>) -> Result<i64> {
    let mut sum = 0;
    while let Some(number) = upload.next().await {
        sum += number?;
    }
    Ok(sum)
}
