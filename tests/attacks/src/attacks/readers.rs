//! Clients that make the server hold what they do not read.

use std::rc::Rc;
use std::time::Duration;

use crate::attack::Attack;
use crate::budget::Keeps;
use crate::field::{Conn, Field};
use crate::frames;
use crate::sources::Sources;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        connections: (50, 20),
        leads_to: &["closed 1013", "code too_large", "code busy", "open until"],
        ..Attack::new(
            "pinned responses",
            "50 connections call for 256 responses of a megabyte, and read nothing",
            |field| {
                Box::pin(silent(field, |out, id| {
                    frames::append_text(out, &format!(r#"["count",{{"to":165000}},{id}]"#));
                }))
            },
        )
    },
    Attack {
        connections: (50, 20),
        quick_sources: Sources::Fifty,
        ..Attack::new(
            "credit",
            "50 connections call for 256 endless streams with all credit, and read nothing",
            |field| {
                Box::pin(silent(field, |out, id| {
                    let call =
                        format!(r#"["count",{{"to":1000000000000000}},{id},"call",{{"credit":9007199254740992}}]"#);
                    frames::append_text(out, &call);
                }))
            },
        )
    },
    Attack {
        connections: (100, 50),
        ..Attack::new(
            "no credit",
            "100 connections call for 256 responses of 16 KB, and grant no credit for them",
            |field| {
                Box::pin(silent(field, |out, id| {
                    let body = "x".repeat(16_000);
                    frames::append_text(out, &format!(r#"["echo","{body}",{id},"call",{{"credit":0}}]"#));
                }))
            },
        )
    },
    Attack {
        connections: (100, 50),
        ..Attack::new("waiting calls", "100 connections make 256 calls that wait, with bodies of 16 KB", |field| {
            Box::pin(silent(field, |out, id| {
                let body = format!(r#"{{"to":1,"every_ms":50000,"more":"{}"}}"#, "x".repeat(16_000));
                frames::append_text(out, &format!(r#"["count",{body},{id}]"#));
            }))
        })
    },
    Attack {
        connections: (101, 51),
        bytes_per_second: 8e6,
        leads_to: &["closed 1013", "open until"],
        keeps: Keeps::Pushes,
        ..Attack::new("stopped readers", "100 members of a busy room do not read", |field| Box::pin(members(field)))
    },
];

/// Each connection makes 256 calls, and reads nothing.
async fn silent(field: Rc<Field>, call: impl Fn(&mut Vec<u8>, u64) + Copy + 'static) {
    let attacker = move |field: Rc<Field>, number| async move {
        let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
        conn.reads = false;
        let mut calls = Vec::new();
        for id in 1..=256 {
            call(&mut calls, id);
        }
        if conn.send(&calls).await {
            conn.stand_still().await;
        }
        // Read at last, to see what the server has said.
        conn.reads = true;
        conn.look();
    };
    field.crowd(attacker).await;
}

/// The first attacker speaks, the others do not listen.
async fn members(field: Rc<Field>) {
    let attacker = |field: Rc<Field>, number| async move {
        let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
        if number > 0 {
            conn.reads = false;
            if conn.send(&frames::text(r#"["room/join",{"name":"tea"}]"#)).await {
                conn.stand_still().await;
            }
            return conn.look();
        }
        let text = "x".repeat(200);
        let batch = frames::text(&format!(r#"["room/say",{{"name":"tea","text":"{text}"}}]"#)).repeat(50);
        tokio::time::sleep(Duration::from_millis(300)).await;
        while conn.send(&batch).await {}
    };
    field.crowd(attacker).await;
}
