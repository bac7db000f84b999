use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(_: Empty, services: Services<App>, mut incoming: Upload<i64>) -> Result<i64> {
    services.has_run("guarded/sum");
    let mut sum = 0;
    while let Some(number) = incoming.next().await {
        sum += number?;
    }
    Ok(sum)
}
