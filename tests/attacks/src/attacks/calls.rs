//! Calls, as many as the connection takes.

use std::rc::Rc;

use crate::attack::Attack;
use crate::field::{Conn, Field};
use crate::frames;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        connections: (64, 64),
        bytes_per_second: 8e6,
        spares_neighbours: false,
        ..Attack::new("calls", "64 connections call ping, 300 000 times a second together", |field| {
            Box::pin(calls(field, r#""ping",null"#))
        })
    },
    Attack {
        connections: (64, 64),
        bytes_per_second: 8e6,
        spares_neighbours: false,
        leads_to: &["code unknown_event", "code busy", "closed"],
        ..Attack::new(
            "misspelt events",
            "64 connections call events that do not exist, similar to one that does",
            |field| Box::pin(calls(field, r#""room/jion",null"#)),
        )
    },
    Attack {
        connections: (64, 64),
        bytes_per_second: 16e6,
        leads_to: &["code bad_frame", "closed"],
        ..Attack::new("bad frames", "64 connections send texts that are no frames", |field| Box::pin(bad_frames(field)))
    },
];

async fn calls(field: Rc<Field>, elements: &'static str) {
    let attacker = move |field: Rc<Field>, number| async move {
        let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
        let (mut id, mut batch) = (0_u64, Vec::new());
        loop {
            batch.clear();
            for _ in 0..200 {
                id += 1;
                frames::append_text(&mut batch, &format!("[{elements},{id}]"));
            }
            if !conn.send(&batch).await {
                return;
            }
        }
    };
    field.crowd(attacker).await;
}

async fn bad_frames(field: Rc<Field>) {
    let attacker = |field: Rc<Field>, number| async move {
        let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
        let batch = frames::text(r#"["ping",null,1,"#).repeat(200);
        while conn.send(&batch).await {}
    };
    field.crowd(attacker).await;
}
