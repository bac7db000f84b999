//! Bodies that are expensive to read.

use std::fmt::Write as _;
use std::rc::Rc;

use crate::attack::Attack;
use crate::budget::Keeps;
use crate::field::{Conn, Field};
use crate::frames;

/// The size of a body. With it, a message is smaller than 1 MiB.
const SIZE: usize = 1_000_000;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        connections: (50, 20),
        bytes_per_second: 32e6,
        leads_to: &["code bad_body", "code busy", "closed"],
        keeps: Keeps::Trees,
        ..Attack::new("nested JSON", "50 connections send a megabyte of brackets to an event that parses it", |field| {
            Box::pin(calls(field, brackets))
        })
    },
    Attack {
        connections: (50, 20),
        bytes_per_second: 32e6,
        keeps: Keeps::Trees,
        ..Attack::new(
            "many keys",
            "50 connections send objects of a megabyte, with 20 000 keys that begin alike, to an event that parses them",
            |field| Box::pin(calls(field, object)),
        )
    },
];

fn brackets() -> String {
    "[".repeat(SIZE / 2) + &"]".repeat(SIZE / 2)
}

/// Returns an object whose keys differ at their ends, and in an order in which each comparison has to go that far.
fn object() -> String {
    let mut body = String::with_capacity(SIZE);
    let mut separator = '{';
    for key in 0.. {
        let _ = write!(body, "{separator}\"{}{:08}\":{key}", "a".repeat(32), (key * 7_919) % 100_000_000_u64);
        separator = ',';
        if body.len() > SIZE - 100 {
            break;
        }
    }
    body.push('}');
    body
}

/// Calls `notify`, whose body is any JSON, again and again.
async fn calls(field: Rc<Field>, body: fn() -> String) {
    let body: Rc<str> = body().into();
    let attacker = move |field: Rc<Field>, number| {
        let body = Rc::clone(&body);
        async move {
            let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
            let mut id = 1_u64;
            while conn.send(&frames::text(&format!(r#"["notify",{body},{id}]"#))).await {
                id += 1;
            }
        }
    };
    field.crowd(attacker).await;
}
