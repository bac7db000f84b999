//! Asks everybody, whoever calls included, and answers how many said what. All of them are told, too.
//!
//! Whoever gives this call up, or goes, withdraws the question: the handler is dropped, and with it what it awaits.

use aaw_event::prelude::*;

use crate::_services::{Confirm, EVERYBODY};

/// Characters of a question.
const LONGEST: usize = 200;

#[derive(Deserialize)]
pub struct Body {
    question: String,
}

/// How it went.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    question: String,
    yes: usize,
    no: usize,
    /// Those who did not answer in time, have gone, or cannot be asked.
    silent: usize,
}

pub async fn handler(body: Body, services: Services<Confirm>) -> Result<Count> {
    let question = body.question.trim();
    if question.is_empty() || question.chars().count() > LONGEST {
        return Err(Error::new(format!("A question has 1 to {LONGEST} characters")));
    }
    let body = json!({ "question": question });
    let answers = services.room.send_async::<bool>(EVERYBODY, "confirm", body, services.patience, None).await?;

    let mut count = Count { question: question.to_owned(), yes: 0, no: 0, silent: 0 };
    for (_client, answer) in answers {
        match answer {
            Ok(true) => count.yes += 1,
            Ok(false) => count.no += 1,
            Err(_) => count.silent += 1,
        }
    }
    services.room.emit(EVERYBODY, "counted", &count, None)?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Services whose one client is in the room, and answers this.
    fn answering(answer: Value) -> Services<Confirm> {
        let services = Services::for_test(Confirm { patience: Duration::from_secs(1) }).with_response("confirm", answer);
        services.room.join(EVERYBODY).unwrap();
        services
    }

    fn body(question: &str) -> Body {
        Body { question: question.to_owned() }
    }

    #[tokio::test]
    async fn answers_are_counted_and_told() {
        for (answer, (yes, no, silent)) in
            [(json!(true), (1, 0, 0)), (json!(false), (0, 1, 0)), (json!("perhaps"), (0, 0, 1))]
        {
            let services = answering(answer);
            let count = handler(body(" Tea? "), services.clone()).await.unwrap();
            assert_eq!(count, Count { question: "Tea?".to_owned(), yes, no, silent });
            let sent = services.ws.sent();
            assert_eq!((sent[0].event.as_str(), &sent[0].data), ("confirm", &json!({ "question": "Tea?" })));
            assert_eq!((sent[1].event.as_str(), &sent[1].data["yes"]), ("counted", &json!(yes)));
        }
    }

    #[tokio::test]
    async fn where_nobody_is_nobody_answers() {
        let services = answering(json!(true));
        services.room.leave(EVERYBODY);
        let count = handler(body("Tea?"), services).await.unwrap();
        assert_eq!((count.yes, count.no, count.silent), (0, 0, 0));
    }

    #[tokio::test]
    async fn what_is_no_question_is_not_asked() {
        for question in ["", "  ", &"x".repeat(201)] {
            let services = answering(json!(true));
            assert!(handler(body(question), services.clone()).await.is_err());
            assert!(services.ws.sent().is_empty());
        }
    }
}
