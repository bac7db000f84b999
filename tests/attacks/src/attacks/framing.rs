//! Frames that are no messages, or never become one.

use std::rc::Rc;

use crate::attack::Attack;
use crate::budget::Keeps;
use crate::field::{Conn, Field};
use crate::frames::{CONTINUATION, PING, TEXT, append, append_head};

/// How much is written at a time.
const BATCH: usize = 16 << 10;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        connections: (200, 100),
        ..Attack::new("fragments", "200 messages of fragments of a byte, without end", |field| {
            Box::pin(flood(field, fragment(0, TEXT), fragment(1, CONTINUATION)))
        })
    },
    Attack {
        connections: (200, 100),
        leads_to: &["closed 1009", "closed 1013", "closed 1008"],
        ..Attack::new("large fragments", "200 messages of fragments of 16 KiB, without end", |field| {
            Box::pin(flood(field, fragment(0, TEXT), fragment(BATCH, CONTINUATION)))
        })
    },
    Attack {
        connections: (200, 100),
        keeps: Keeps::Nothing,
        ..Attack::new("empty fragments", "200 messages of empty fragments, without end", |field| {
            Box::pin(flood(field, fragment(0, TEXT), fragment(0, CONTINUATION)))
        })
    },
    Attack {
        connections: (200, 100),
        leads_to: &["code bad_frame", "closed"],
        ..Attack::new("empty messages", "200 connections send empty messages, and read the errors", |field| {
            Box::pin(flood(field, Vec::new(), whole(TEXT, b"")))
        })
    },
    Attack {
        connections: (200, 100),
        ..Attack::new("ping flood", "200 connections send WebSocket pings of 8 bytes, and read the pongs", |field| {
            Box::pin(flood(field, Vec::new(), whole(PING, b"12345678")))
        })
    },
    Attack {
        connections: (200, 100),
        ..Attack::new("unfinished messages", "200 connections send a message of a megabyte but for a byte", |field| {
            Box::pin(unfinished(field))
        })
    },
];

fn fragment(len: usize, opcode: u8) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, false, opcode, &vec![b'1'; len]);
    out
}

fn whole(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, true, opcode, payload);
    out
}

/// Sends `start` once on each connection, and then `frame` for ever.
async fn flood(field: Rc<Field>, start: Vec<u8>, frame: Vec<u8>) {
    let batch: Rc<[u8]> = frame.repeat((BATCH / frame.len()).max(1)).into();
    let start: Rc<[u8]> = start.into();
    let attacker = move |field: Rc<Field>, number| {
        let (start, batch) = (Rc::clone(&start), Rc::clone(&batch));
        async move {
            let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
            let mut goes_on = conn.send(&start).await;
            while goes_on {
                goes_on = conn.send(&batch).await;
            }
        }
    };
    field.crowd(attacker).await;
}

async fn unfinished(field: Rc<Field>) {
    let mut message = Vec::new();
    append_head(&mut message, true, TEXT, 1_000_000);
    message.extend_from_slice(br#"["echo",""#);
    message.resize(message.len() + 999_980, b'x');
    let message: Rc<[u8]> = message.into();
    let attacker = move |field: Rc<Field>, number| {
        let message = Rc::clone(&message);
        async move {
            let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
            if conn.send(&message).await {
                conn.watch().await;
            }
        }
    };
    field.crowd(attacker).await;
}
