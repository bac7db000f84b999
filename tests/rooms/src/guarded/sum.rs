use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(_: Empty, services: Services<App>, mut upload: Upload<i64>) -> Result<i64> {
    services.record("guarded/sum");
    let mut sum = 0;
    while let Some(number) = upload.next().await {
        sum += number?;
    }
    Ok(sum)
}
