//! Connections that never become useful, or too many of them.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use crate::attack::Attack;
use crate::budget::Keeps;
use crate::bystanders::Bystander;
use crate::client::upgrade_request;
use crate::field::{Conn, Field};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        connections: (1000, 1000),
        // The handshake may take 10 s.
        at_least: Duration::from_secs(13),
        keeps: Keeps::Heads,
        bystanders: &[Bystander::Newcomer],
        leads_to: &["HTTP 408", "closed without", "reset", "HTTP 429", "HTTP 503"],
        ..Attack::new(
            "slow handshakes",
            "1000 connections send the request for a WebSocket byte by byte, a byte in 100 ms",
            |field| Box::pin(slow(field)),
        )
    },
    Attack {
        connections: (200, 200),
        keeps: Keeps::Heads,
        bystanders: &[Bystander::Newcomer],
        spares_neighbours: false,
        leads_to: &["HTTP 431", "HTTP 429", "HTTP 503"],
        ..Attack::new("header flood", "200 connections send headers without end, and connect again", |field| {
            Box::pin(headers(field))
        })
    },
    Attack {
        connections: (500, 200),
        bytes_per_second: 2e6,
        keeps: Keeps::Heads,
        bystanders: &[Bystander::Newcomer],
        spares_neighbours: false,
        ..Attack::new(
            "connection flood",
            "500 attackers open WebSockets, leave and come again, 4000 a second",
            |field| Box::pin(reconnecting(field)),
        )
    },
    Attack {
        connections: (10_000, 3000),
        at_least: Duration::from_secs(8),
        keeps: Keeps::Handshakes,
        bystanders: &[Bystander::Newcomer],
        ..Attack::new("idle connections", "10 000 WebSockets that do nothing", |field| Box::pin(idle(field)))
    },
    Attack {
        connections: (400, 400),
        open_files: Some(200),
        keeps: Keeps::Heads,
        bystanders: &[Bystander::Newcomer],
        leads_to: &["HTTP 429"],
        ..Attack::new("open files", "400 idle connections to a server that may have 200 open files", |field| {
            Box::pin(idle(field))
        })
    },
];

async fn slow(field: Rc<Field>) {
    let attacker = |field: Rc<Field>, number| async move {
        let Some(mut conn) = Conn::http(&field, number).await else { return };
        let request = upgrade_request(field.target, &field.sources.attacker(number));
        for byte in request.as_bytes() {
            if !conn.send(&[*byte]).await {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        conn.watch().await;
    };
    field.crowd(attacker).await;
}

async fn headers(field: Rc<Field>) {
    let attacker = |field: Rc<Field>, number| async move {
        let Some(mut conn) = Conn::http(&field, number).await else { return };
        let from = field.sources.attacker(number).header_lines();
        let start = format!("GET / HTTP/1.1\r\nHost: {}\r\n{from}", field.target);
        let line = format!("X-{number}: {}\r\n", "x".repeat(300)).repeat(10);
        let mut goes_on = conn.send(start.as_bytes()).await;
        while goes_on {
            goes_on = conn.send(line.as_bytes()).await;
        }
    };
    field.crowd(attacker).await;
}

async fn reconnecting(field: Rc<Field>) {
    let attacker = |field: Rc<Field>, number| async move {
        if let Some(conn) = Conn::web_socket(&field, number).await {
            conn.leave();
        }
    };
    field.crowd(attacker).await;
}

async fn idle(field: Rc<Field>) {
    let attacker = |field: Rc<Field>, number| async move {
        if let Some(mut conn) = Conn::web_socket(&field, number).await {
            conn.watch().await;
        }
    };
    field.crowd(attacker).await;
}
