use aaw_event::prelude::*;

use crate::_services::App;

#[derive(Deserialize)]
pub struct Body {
    name: String,
}

pub async fn handler(body: Body, services: Services<App>) -> Result<String> {
    if body.name.is_empty() {
        return Err(Error::new("A name is required").with_code("no_name"));
    }
    Ok(format!("{}, {}", services.greeting, body.name))
}
