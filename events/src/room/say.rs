//! Sends a message to the other members of a room, as the event `said`.

use aaw_event::prelude::*;

#[derive(Deserialize, JsonSchema)]
pub struct Body {
    name: String,
    text: String,
}

pub fn handler(body: Body, services: Services) -> Result<()> {
    services.room.emit(&body.name, "said", json!({ "text": body.text }), Some(&services.ws.id()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use aaw_event::testing::{Recipient, SentMessage};

    use super::*;

    #[test]
    fn the_message_is_sent_to_the_room() {
        let services = Services::for_test(());
        handler(Body { name: "tea".into(), text: "milk?".into() }, services.clone()).unwrap();
        assert_eq!(
            services.sent(),
            [SentMessage::new(Recipient::Room("tea".into()), "said", json!({ "text": "milk?" }))]
        );
    }
}
