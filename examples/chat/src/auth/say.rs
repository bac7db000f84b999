//! Stores a message, and sends it as the event `said` to all members of the room. The author receives it too, so that
//! all members see the same messages in the same order.

use aaw_event::prelude::*;

use crate::_services::{Chat, Room, caller};

#[derive(Deserialize)]
pub struct Body {
    room: Room,
    text: String,
}

pub async fn handler(body: Body, services: Services<Chat>) -> Result<()> {
    let by = caller(&services)?;
    let (room, to) = (body.room.name(), services.room.clone());
    let publish = move |line: &_| to.emit(room, "said", json!({ "room": room, "line": line }), None).map(drop);
    services.add(body.room, by, &body.text, publish).await
}

#[cfg(test)]
mod tests {
    use aaw_event::testing::Recipient;

    use super::*;

    #[tokio::test]
    async fn a_message_is_stored_and_sent_to_the_room() {
        let services = Chat::for_test();
        let room = Room::Tea;
        handler(Body { room, text: "Hello".into() }, services.clone()).await.unwrap();
        let [sent] = &services.sent()[..] else { panic!("{:?}", services.sent()) };
        assert_eq!((&sent.to, sent.event.as_str()), (&Recipient::Room("tea".into()), "said"));
        let stored = services.last(room).await.unwrap();
        assert_eq!(sent.data, json!({ "room": "tea", "line": stored[0] }));
        assert_eq!((stored[0].by.as_str(), stored[0].text.as_str()), ("ada@example.org", "Hello"));
    }
}
