//! An event with a body, an error and a test: `aaw call ws://localhost:1337 hello '{"name": "Ada"}'`

use aaw_event::prelude::*;

/// What the caller sends. If it does not fit, the caller is told what was expected, and the handler does not run.
#[derive(Deserialize)]
pub struct Body {
    name: String,
}

/// What the caller gets.
#[derive(Debug, PartialEq, Serialize)]
pub struct Answer {
    greeting: String,
}

pub async fn handler(body: Body, services: Services) -> Result<Answer> {
    if body.name.is_empty() {
        return Err(Error::new("A name is required"));
    }
    services.ws.send_event("greeted", &body.name)?;
    Ok(Answer { greeting: format!("Hello, {}!", body.name) })
}

#[cfg(test)]
mod tests {
    use aaw_event::{Sent, To};

    use super::*;

    #[tokio::test]
    async fn greets_by_name() {
        let services = Services::for_test(());
        let answer = handler(Body { name: "Ada".to_owned() }, services.clone()).await.unwrap();
        assert_eq!(answer, Answer { greeting: "Hello, Ada!".to_owned() });
        assert_eq!(services.ws.sent(), [Sent::new(To::Caller, "greeted", "Ada")]);
    }
}
