//! Rooms and broadcasts: what one client sends costs as much as it has receivers.

use std::rc::Rc;

use crate::attack::Attack;
use crate::bystanders::Bystander;
use crate::field::{Conn, Field};
use crate::frames;

/// The number of rooms that the attackers join and leave.
const ROOMS: usize = 20;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        connections: (100, 50),
        bytes_per_second: 4e6,
        spares_neighbours: false,
        ..Attack::new("room storm", "100 connections join, speak in and leave twenty rooms", |field| {
            Box::pin(storm(field))
        })
    },
    Attack {
        connections: (1, 1),
        // 27 MB in 0.4 s.
        bytes_per_second: 67e6,
        bystanders: &[Bystander::Reader, Bystander::Reader, Bystander::Reader, Bystander::Reader],
        spares_neighbours: false,
        ..Attack::new(
            "announcements",
            "one connection sends 67 MB/s to all, among them four clients that read 2 MB/s each",
            |field| Box::pin(announcements(field)),
        )
    },
];

async fn storm(field: Rc<Field>) {
    let attacker = |field: Rc<Field>, number: usize| async move {
        let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
        let mut batch = Vec::new();
        for step in 0..ROOMS {
            let room = (number + step) % ROOMS;
            frames::append_text(&mut batch, &format!(r#"["room/join",{{"name":"room {room}"}}]"#));
            frames::append_text(&mut batch, &format!(r#"["room/say",{{"name":"room {room}","text":"hello"}}]"#));
            frames::append_text(&mut batch, &format!(r#"["room/leave",{{"name":"room {room}"}}]"#));
        }
        while conn.send(&batch).await {}
    };
    field.crowd(attacker).await;
}

async fn announcements(field: Rc<Field>) {
    let attacker = |field: Rc<Field>, number| async move {
        let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
        let announcement = frames::text(&format!(r#"["announce","{}"]"#, "x".repeat(8000)));
        while conn.send(&announcement).await {}
    };
    field.crowd(attacker).await;
}
