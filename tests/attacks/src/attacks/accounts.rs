//! Registrations and log-ins, also when the store cannot be written to.

use std::rc::Rc;

use crate::attack::{Attack, Disk};
use crate::budget::Keeps;
use crate::bystanders::{Bystander, EMAIL};
use crate::field::{Conn, Field};
use crate::frames;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        connections: (200, 200),
        bytes_per_second: 100e3,
        has_auth: true,
        bystanders: &[Bystander::User],
        spares_neighbours: false,
        ..Attack::new("registrations", "200 connections register users, 1000 a second together", |field| {
            Box::pin(register(field))
        })
    },
    Attack {
        connections: (50, 50),
        bytes_per_second: 100e3,
        has_auth: true,
        bystanders: &[Bystander::User],
        spares_neighbours: false,
        leads_to: &["code not_authenticated", "code busy", "HTTP 429", "closed"],
        ..Attack::new("log-ins", "50 connections try e-mail addresses and passwords, 1000 a second together", |field| {
            Box::pin(log_in(field, None))
        })
    },
    Attack {
        connections: (10, 10),
        bytes_per_second: 20e3,
        has_auth: true,
        bystanders: &[Bystander::User],
        spares_neighbours: false,
        leads_to: &["code not_authenticated", "code busy", "HTTP 429", "closed"],
        ..Attack::new(
            "log-ins of one user",
            "10 connections try passwords of the user who logs in from elsewhere meanwhile",
            |field| Box::pin(log_in(field, Some(EMAIL))),
        )
    },
    Attack {
        connections: (200, 200),
        bytes_per_second: 2e6,
        has_auth: true,
        bystanders: &[Bystander::User],
        spares_neighbours: false,
        leads_to: &["code not_authenticated", "code busy", "HTTP 429", "closed"],
        ..Attack::new(
            "wrong tokens",
            "200 connections resume sessions that do not exist, 20 000 times a second together",
            |field| Box::pin(resume(field)),
        )
    },
    Attack {
        connections: (20, 20),
        bytes_per_second: 20e3,
        has_auth: true,
        disk: Some(Disk::Full),
        keeps: Keeps::Nothing,
        leads_to: &["code unavailable"],
        ..Attack::new("full disk", "20 connections register users, and the disk of the store is full", |field| {
            Box::pin(register(field))
        })
    },
    Attack {
        connections: (20, 20),
        bytes_per_second: 20e3,
        has_auth: true,
        disk: Some(Disk::ReadOnly),
        keeps: Keeps::Nothing,
        leads_to: &["code unavailable"],
        ..Attack::new(
            "read-only disk",
            "20 connections register users, and the disk of the store has become read-only",
            |field| Box::pin(register(field)),
        )
    },
];

async fn register(field: Rc<Field>) {
    let attacker = |field: Rc<Field>, number| async move {
        let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
        let mut id = 1_u64;
        let body = |id| format!(r#"{{"email":"u{number}-{id}@example.org","password":"correct horse"}}"#);
        while conn.send(&frames::text(&format!(r#"["aaw/register",{},{id}]"#, body(id)))).await {
            id += 1;
        }
    };
    field.crowd(attacker).await;
}

/// Each connection sends its attempts in batches, so that the next one waits when one has ended: those of a connection run one
/// after the other.
async fn resume(field: Rc<Field>) {
    const BATCH: u64 = 20;
    let attacker = |field: Rc<Field>, number| async move {
        let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
        let (mut id, mut batch) = (0_u64, Vec::new());
        loop {
            batch.clear();
            for _ in 0..BATCH {
                id += 1;
                // As long as a token is.
                let token = format!("{number:018}{id:018}");
                frames::append_text(&mut batch, &format!(r#"["aaw/resume",{{"token":"{token}"}},{id}]"#));
            }
            if !conn.send(&batch).await {
                return;
            }
        }
    };
    field.crowd(attacker).await;
}

async fn log_in(field: Rc<Field>, email: Option<&'static str>) {
    let attacker = move |field: Rc<Field>, number| async move {
        let Some(mut conn) = Conn::web_socket(&field, number).await else { return };
        let mut id = 1_u64;
        let email = |id| email.map_or_else(|| format!("u{number}-{id}@example.org"), str::to_owned);
        let body = |id| format!(r#"{{"email":"{}","password":"wrong {id}"}}"#, email(id));
        while conn.send(&frames::text(&format!(r#"["aaw/login",{},{id}]"#, body(id)))).await {
            id += 1;
        }
    };
    field.crowd(attacker).await;
}
