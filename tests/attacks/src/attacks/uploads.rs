//! Uploads to events that take none, and to one that reads none.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use crate::attack::Attack;
use crate::budget::Keeps;
use crate::field::{Conn, Field};
use crate::frames;
use crate::server::Events;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        connections: (64, 64),
        bytes_per_second: 16e6,
        leads_to: &["code bad_body", "code bad_frame", "closed"],
        ..Attack::new("refused uploads", "64 connections send items of uploads that no event takes", |field| {
            Box::pin(refused(field))
        })
    },
    Attack {
        connections: (16, 8),
        bytes_per_second: 128e6,
        events: Events::Tests,
        keeps: Keeps::Uploads,
        ..Attack::new(
            "unread uploads",
            "16 connections send four uploads of 64 items of a megabyte to a handler that reads none (an event of the tests)",
            |field| Box::pin(unread(field)),
        )
    },
];

async fn refused(field: Rc<Field>) {
    let attacker = |field: Rc<Field>, number| async move {
        let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
        let (mut id, mut batch) = (0_u64, Vec::new());
        loop {
            batch.clear();
            for _ in 0..100 {
                id += 1;
                frames::append_text(&mut batch, &format!(r#"["ping",null,{id},"call",{{"in":true}}]"#));
                frames::append_text(&mut batch, &format!(r#"["ping","{}",{id},"item"]"#, "x".repeat(100)));
                frames::append_text(&mut batch, &format!(r#"["ping",null,{},"item"]"#, id + 1_000_000));
            }
            if !conn.send(&batch).await {
                return;
            }
        }
    };
    field.crowd(attacker).await;
}

async fn unread(field: Rc<Field>) {
    let item = "x".repeat(999_900);
    let items: Rc<[Vec<u8>]> =
        (1..=4).map(|id| frames::text(&format!(r#"["upload/slow","{item}",{id},"item"]"#))).collect();
    let attacker = move |field: Rc<Field>, number| {
        let items = Rc::clone(&items);
        async move {
            let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
            let mut calls = Vec::new();
            for id in 1..=4 {
                let call = format!(r#"["upload/slow",{{"gate":"never","take":null}},{id},"call",{{"in":true}}]"#);
                frames::append_text(&mut calls, &call);
            }
            if !conn.send(&calls).await {
                return;
            }
            // The credit of 64 items arrives meanwhile.
            sleep(Duration::from_millis(100)).await;
            for _ in 0..64 {
                for item in items.iter() {
                    if !conn.send(item).await {
                        return;
                    }
                }
            }
            conn.watch().await;
        }
    };
    field.crowd(attacker).await;
}
