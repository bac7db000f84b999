//! Adds this connection to a room, and returns the last messages and the members. aaw notifies the other members with
//! `aaw/joined`, and with `aaw/left` when it leaves.

use aaw_event::Presence;
use aaw_event::prelude::*;

use crate::_services::{Chat, ChatMessage, Room};

#[derive(Deserialize)]
pub struct Body {
    room: Room,
}

/// The state of the room on entering.
#[derive(Debug, Serialize)]
pub struct RoomState {
    /// The last messages, oldest first.
    lines: Vec<ChatMessage>,
    /// One entry for each connection: a user with two windows has two.
    members: Vec<RoomMember>,
}

#[derive(Debug, Serialize)]
struct RoomMember {
    id: String,
    email: String,
}

pub async fn handler(body: Body, services: Services<Chat>) -> Result<RoomState> {
    // Joined before the history is read: a message is either in the history or published to this connection.
    services.room.join_with(body.room.name(), Presence)?;
    let lines = services.last(body.room).await?;
    let members = services.room.members(body.room.name()).into_iter();
    let members = members.filter_map(|member| Some(RoomMember { email: member.identity?.email, id: member.id }));
    Ok(RoomState { lines, members: members.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn entering_returns_the_messages_and_the_members() {
        let services = Chat::for_test();
        let room = Room::Tea;
        services.add(room, "bob".into(), "Anybody?", |_| Ok(())).await.unwrap();
        let state = handler(Body { room }, services.clone()).await.unwrap();
        assert_eq!((state.lines[0].by.as_str(), state.lines[0].text.as_str()), ("bob", "Anybody?"));
        assert_eq!(state.members.iter().map(|member| member.email.as_str()).collect::<Vec<_>>(), ["ada@example.org"]);
        assert_eq!(services.room.size("tea"), 1);
    }
}
