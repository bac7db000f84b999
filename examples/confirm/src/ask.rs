//! Asks all connected clients, the caller included, a yes-or-no question. Returns the count of their answers, and sends
//! it to all of them as the event `counted`.
//!
//! If the caller cancels the call or disconnects, the question disappears everywhere: aaw drops the handler, which
//! cancels the client calls that it awaits.

use aaw_event::prelude::*;

use crate::_services::{Confirm, EVERYONE};

/// The maximum length of a question, in characters.
const MAX_CHARS: usize = 200;

#[derive(Deserialize)]
pub struct Body {
    question: String,
}

/// The result of a question.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    question: String,
    yes: usize,
    no: usize,
    /// Clients that did not answer in time, disconnected, or do not handle `confirm`.
    silent: usize,
}

pub async fn handler(body: Body, services: Services<Confirm>) -> Result<Count> {
    let question = body.question.trim();
    if question.is_empty() || question.chars().count() > MAX_CHARS {
        return Err(Error::new(format!("A question has 1 to {MAX_CHARS} characters")));
    }
    let body = json!({ "question": question });
    let answers = services.room.send_async::<bool>(EVERYONE, "confirm", body, services.timeout, None).await?;

    let mut count = Count { question: question.to_owned(), yes: 0, no: 0, silent: 0 };
    for (_client, answer) in answers {
        match answer {
            Ok(true) => count.yes += 1,
            Ok(false) => count.no += 1,
            Err(_) => count.silent += 1,
        }
    }
    services.room.emit(EVERYONE, "counted", &count, None)?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aaw_event::testing::TestServices;

    use super::*;

    /// Returns services with one client in the room, which answers `answer`.
    fn answering(answer: Value) -> TestServices<Confirm> {
        let services = Services::for_test(Confirm { timeout: Duration::from_secs(1) }).with_response("confirm", answer);
        services.room.join(EVERYONE).unwrap();
        services
    }

    fn body(question: &str) -> Body {
        Body { question: question.to_owned() }
    }

    #[tokio::test]
    async fn answers_are_counted_and_the_count_is_sent() {
        for (answer, (yes, no, silent)) in
            [(json!(true), (1, 0, 0)), (json!(false), (0, 1, 0)), (json!("perhaps"), (0, 0, 1))]
        {
            let services = answering(answer);
            let count = handler(body(" Tea? "), services.clone()).await.unwrap();
            assert_eq!(count, Count { question: "Tea?".to_owned(), yes, no, silent });
            let sent = services.sent();
            assert_eq!((sent[0].event.as_str(), &sent[0].data), ("confirm", &json!({ "question": "Tea?" })));
            assert_eq!((sent[1].event.as_str(), &sent[1].data["yes"]), ("counted", &json!(yes)));
        }
    }

    #[tokio::test]
    async fn an_empty_room_gives_no_answers() {
        let services = answering(json!(true));
        services.room.leave(EVERYONE);
        let count = handler(body("Tea?"), services.clone()).await.unwrap();
        assert_eq!((count.yes, count.no, count.silent), (0, 0, 0));
    }

    #[tokio::test]
    async fn an_invalid_question_is_not_asked() {
        for question in ["", "  ", &"x".repeat(201)] {
            let services = answering(json!(true));
            assert!(handler(body(question), services.clone()).await.is_err());
            assert!(services.sent().is_empty());
        }
    }
}
