use aaw_event::prelude::*;

use crate::_services::App;

#[derive(Deserialize)]
pub struct Body {
    name: String,
    #[serde(default = "said")]
    event: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    except: Option<String>,
    /// A task emits after the call has returned, once it has a pass.
    #[serde(default)]
    later: bool,
    /// If not 0, the data is a string of this many bytes.
    #[serde(default)]
    bytes: usize,
}

fn said() -> String {
    "said".to_owned()
}

pub async fn handler(body: Body, services: Services<App>) -> Result<usize> {
    let data = if body.bytes > 0 { Value::from("x".repeat(body.bytes)) } else { body.data };
    let emit =
        move |services: &Services<App>| services.room.emit(&body.name, &body.event, &data, body.except.as_deref());
    if !body.later {
        return emit(&services);
    }
    tokio::spawn(async move {
        services.pass().await;
        let reached = emit(&services);
        services.record(&format!("emitted to {}", reached.unwrap_or(usize::MAX)));
        let joined = services.room.join("late").map_err(|error| error.code().to_owned());
        services.record(&format!("joined {joined:?}"));
    });
    Ok(0)
}
