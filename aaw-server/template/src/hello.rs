//! An event with a body, an error and a test: `aaw call ws://localhost:1337 hello '{"name": "Ada"}'`

use aaw_event::prelude::*;

/// The body that the caller sends. A call with another body fails with an error that names the field, and the handler
/// does not run.
#[derive(Deserialize)]
pub struct Body {
    name: String,
}

/// The response that the caller receives.
#[derive(Debug, PartialEq, Serialize)]
pub struct Greeting {
    greeting: String,
}

pub async fn handler(body: Body, services: Services) -> Result<Greeting> {
    if body.name.is_empty() {
        return Err(Error::new("A name is required"));
    }
    services.ws.send_event("greeted", &body.name)?;
    Ok(Greeting { greeting: format!("Hello, {}!", body.name) })
}

#[cfg(test)]
mod tests {
    use aaw_event::testing::{Recipient, SentMessage};

    use super::*;

    #[tokio::test]
    async fn greets_by_name() {
        let services = Services::for_test(());
        let response = handler(Body { name: "Ada".to_owned() }, services.clone()).await.unwrap();
        assert_eq!(response, Greeting { greeting: "Hello, Ada!".to_owned() });
        assert_eq!(services.sent(), [SentMessage::new(Recipient::Caller, "greeted", "Ada")]);
    }
}
