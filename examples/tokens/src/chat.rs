//! Yields the answer of the language model, token by token. Dropping the stream ends the request to the model.

use aaw_event::prelude::*;

use crate::_api::Message;
use crate::_services::Model;

#[derive(Deserialize)]
pub struct Body {
    messages: Vec<Message>,
}

pub fn handler(body: Body, services: Services<Model>) -> impl Stream<Item = Result<String>> {
    services.api.complete(body.messages)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use super::*;
    use crate::_stand_in::{RequestCounts, StandIn};

    async fn services_with(model: &str) -> Services<Model> {
        let stand_in = StandIn::start(0, Duration::from_millis(1)).await.unwrap();
        Services::for_test(Model::from_stand_in(stand_in, model).unwrap()).clone()
    }

    fn hello() -> Body {
        serde_json::from_value(json!({ "messages": [{ "role": "user", "content": "Hello?" }] })).unwrap()
    }

    /// Returns the whole answer, and the error that it ends with.
    async fn read(services: &Services<Model>) -> (String, Option<String>) {
        let (mut text, mut failure) = (String::new(), None);
        let mut answer = pin!(handler(hello(), services.clone()));
        while let Some(token) = answer.next().await {
            match token {
                Ok(token) => text.push_str(&token),
                Err(error) => failure = Some(error.message().to_owned()),
            }
        }
        (text, failure)
    }

    #[tokio::test]
    async fn an_answer_is_yielded_completely() {
        let services = services_with("stand-in").await;
        let (text, failure) = read(&services).await;
        assert!(text.starts_with("You said: “Hello?” I am only") && text.ends_with("Grüße, 你好, 👋!"), "{text}");
        assert_eq!(failure, None);
        let finished = RequestCounts { finished: 1, ..RequestCounts::default() };
        assert_eq!(services.stand_in().unwrap().wait(finished).await, finished);
    }

    #[tokio::test]
    async fn dropping_the_stream_ends_the_request() {
        let services = services_with("endless").await;
        {
            let mut answer = pin!(handler(hello(), services.clone()));
            assert_eq!(answer.next().await.unwrap().unwrap(), "You ");
        }
        let aborted = RequestCounts { aborted: 1, ..RequestCounts::default() };
        assert_eq!(services.stand_in().unwrap().wait(aborted).await, aborted);
    }

    #[tokio::test]
    async fn a_failure_follows_the_tokens_before_it() {
        for (model, expected) in [
            ("breaks-off", "The language model's answer broke off"),
            ("fails", "The language model failed: Overloaded"),
        ] {
            let (text, failure) = read(&services_with(model).await).await;
            assert!(text.ends_with("👋!"), "{text}");
            assert_eq!(failure.as_deref(), Some(expected));
        }
    }

    #[tokio::test]
    async fn a_refusal_contains_the_reason_but_not_the_key() {
        for (model, expected) in [
            ("refuses", "The language model's API does not accept the key in OPENAI_API_KEY"),
            ("busy", "The language model is busy; try again later"),
            ("other", "The language model's API answered 404 Not Found: The model `other` does not exist"),
        ] {
            assert_eq!(read(&services_with(model).await).await, (String::new(), Some(expected.to_owned())));
        }
    }
}
