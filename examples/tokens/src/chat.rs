//! What the language model answers, a token at a time. Its reader leaving ends the request to the model.

use aaw_event::prelude::*;

use crate::_api::Message;
use crate::_services::Model;

#[derive(Deserialize)]
pub struct Body {
    messages: Vec<Message>,
}

pub fn handler(body: Body, services: Services<Model>) -> impl Stream<Item = Result<String>> {
    services.api.answer(body.messages)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use super::*;
    use crate::_stand_in::{Requests, StandIn};

    async fn asking(model: &str) -> Services<Model> {
        let stand_in = StandIn::start(0, Duration::from_millis(1)).await.unwrap();
        Services::for_test(Model::of_stand_in(stand_in, model).unwrap())
    }

    fn hello() -> Body {
        serde_json::from_value(json!({ "messages": [{ "role": "user", "content": "Hello?" }] })).unwrap()
    }

    /// All that is said, and how it ends.
    async fn answer(services: &Services<Model>) -> (String, Option<String>) {
        let (mut said, mut failure) = (String::new(), None);
        let mut answer = pin!(handler(hello(), services.clone()));
        while let Some(token) = answer.next().await {
            match token {
                Ok(token) => said.push_str(&token),
                Err(error) => failure = Some(error.message().to_owned()),
            }
        }
        (said, failure)
    }

    #[tokio::test]
    async fn an_answer_comes_whole() {
        let services = asking("stand-in").await;
        let (said, failure) = answer(&services).await;
        assert!(said.starts_with("You said: “Hello?” I am only") && said.ends_with("Grüße, 你好, 👋!"), "{said}");
        assert_eq!(failure, None);
        let finished = Requests { finished: 1, ..Requests::default() };
        assert_eq!(services.stand_in().unwrap().wait(finished).await, finished);
    }

    #[tokio::test]
    async fn who_stops_reading_ends_the_request() {
        let services = asking("endless").await;
        {
            let mut answer = pin!(handler(hello(), services.clone()));
            assert_eq!(answer.next().await.unwrap().unwrap(), "You ");
        }
        let aborted = Requests { aborted: 1, ..Requests::default() };
        assert_eq!(services.stand_in().unwrap().wait(aborted).await, aborted);
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told_after_what_was_said() {
        for (model, expected) in [
            ("breaks-off", "The language model's answer broke off"),
            ("fails", "The language model failed: Overloaded"),
        ] {
            let (said, failure) = answer(&asking(model).await).await;
            assert!(said.ends_with("👋!"), "{said}");
            assert_eq!(failure.as_deref(), Some(expected));
        }
    }

    #[tokio::test]
    async fn a_refusal_says_why_and_not_with_what_key() {
        for (model, expected) in [
            ("refuses", "The language model's API does not accept the key in OPENAI_API_KEY"),
            ("busy", "The language model is busy; try again later"),
            ("other", "The language model's API answered 404 Not Found: The model `other` does not exist"),
        ] {
            assert_eq!(answer(&asking(model).await).await, (String::new(), Some(expected.to_owned())));
        }
    }
}
