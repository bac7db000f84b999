//! Puts this connection into a room, and answers what was said there last, and who is there. The others are told by
//! aaw: `aaw/joined`, and `aaw/left` in the end.

use aaw_event::Presence;
use aaw_event::prelude::*;

use crate::_services::{Chat, Line, Room};

#[derive(Deserialize)]
pub struct Body {
    room: Room,
}

/// What somebody who enters sees.
#[derive(Debug, Serialize)]
pub struct Seen {
    /// Oldest first.
    lines: Vec<Line>,
    /// One a connection: whoever has two windows is here twice.
    members: Vec<Here>,
}

#[derive(Debug, Serialize)]
struct Here {
    id: String,
    email: String,
}

pub async fn handler(body: Body, services: Services<Chat>) -> Result<Seen> {
    // First: what is said from here on is heard, and what was said before is among the lines.
    services.room.join_with(body.room.name(), Presence)?;
    let lines = services.last(body.room).await?;
    let members = services.room.members(body.room.name()).into_iter();
    let members = members.filter_map(|member| Some(Here { email: member.identity?.email, id: member.id }));
    Ok(Seen { lines, members: members.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_enters_sees_what_was_said_and_who_is_there() {
        let services = Chat::for_test();
        let room = Room::Tea;
        services.add(room, "bob".into(), "Anybody?", |_| Ok(())).await.unwrap();
        let seen = handler(Body { room }, services.clone()).await.unwrap();
        assert_eq!((seen.lines[0].by.as_str(), seen.lines[0].text.as_str()), ("bob", "Anybody?"));
        assert_eq!(seen.members.iter().map(|here| here.email.as_str()).collect::<Vec<_>>(), ["ada@example.org"]);
        assert_eq!(services.room.size("tea"), 1);
    }
}
