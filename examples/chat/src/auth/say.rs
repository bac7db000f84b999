//! Says something in a room: it is kept, and all who are there get the event `said`, who says it included, so that
//! everybody sees the same in the same order.

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
    let tell = move |line: &_| to.emit(room, "said", json!({ "room": room, "line": line }), None).map(drop);
    services.add(body.room, by, &body.text, tell).await
}

#[cfg(test)]
mod tests {
    use aaw_event::To;

    use super::*;

    #[tokio::test]
    async fn what_is_said_is_kept_and_told() {
        let services = Chat::for_test();
        let room = Room::Tea;
        handler(Body { room, text: "Hello".into() }, services.clone()).await.unwrap();
        let [sent] = &services.ws.sent()[..] else { panic!("{:?}", services.ws.sent()) };
        assert_eq!((&sent.to, sent.event.as_str()), (&To::Room("tea".into()), "said"));
        let kept = services.last(room).await.unwrap();
        assert_eq!(sent.data, json!({ "room": "tea", "line": kept[0] }));
        assert_eq!((kept[0].by.as_str(), kept[0].text.as_str()), ("ada@example.org", "Hello"));
    }
}
