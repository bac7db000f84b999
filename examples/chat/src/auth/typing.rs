//! Notifies the other members of a room that the caller is typing. One-way: the client does not need a response.

use aaw_event::prelude::*;

use crate::_services::{Chat, Room, caller};

#[derive(Deserialize)]
pub struct Body {
    room: Room,
}

pub fn handler(body: Body, services: Services<Chat>) -> Result<()> {
    let room = body.room.name();
    let typing = json!({ "room": room, "by": caller(&services)? });
    services.room.emit(room, "typing", typing, Some(&services.ws.id()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use aaw_event::testing::{Recipient, SentMessage};

    use super::*;

    #[test]
    fn the_room_is_notified() {
        let services = Chat::for_test();
        handler(Body { room: Room::Tea }, services.clone()).unwrap();
        let expected = SentMessage::new(
            Recipient::Room("tea".into()),
            "typing",
            json!({ "room": "tea", "by": "ada@example.org" }),
        );
        assert_eq!(services.sent(), [expected]);
    }
}
