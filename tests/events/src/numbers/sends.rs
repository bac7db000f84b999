//! Tries to send a NaN in each way to the caller, and fails with the causes as its data. With `data`, fails with a NaN in
//! its data.

use std::time::Duration;

use aaw_event::prelude::*;

pub async fn handler(body: Value, services: Services) -> Result<()> {
    let nan = [f64::NAN];
    if body["data"] == true {
        return Err(Error::new("no data").with_data(nan));
    }
    let ws = services.ws;
    services.room.join("numbers")?;
    ws.broadcast(nan, true);
    let results = [
        ws.send_event("push", nan).err(),
        services.room.emit("numbers", "push", nan, None).err(),
        ws.send_async::<()>("ask", nan, Duration::from_secs(30)).await.err(),
    ];
    let causes = results.iter().map(|error| error.as_ref()?.cause().map(ToString::to_string));
    Err(Error::new("not sent").with_data(causes.collect::<Vec<_>>()))
}
