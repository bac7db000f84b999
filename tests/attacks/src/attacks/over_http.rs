//! Attacks over plain HTTP.

use std::rc::Rc;

use crate::attack::Attack;
use crate::bystanders::Bystander;
use crate::field::{Conn, Field};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        connections: (20, 20),
        bytes_per_second: 1e6,
        bystanders: &[Bystander::Poller],
        leads_to: &["HTTP 429", "HTTP 200"],
        ..Attack::new(
            "cursors",
            "20 connections begin to read endless streams by polling, as many as they can",
            |field| Box::pin(cursors(field)),
        )
    },
    Attack {
        connections: (500, 200),
        bytes_per_second: 128e6,
        ..Attack::new("request bodies", "500 requests of a megabyte but for a byte", |field| Box::pin(bodies(field)))
    },
];

async fn cursors(field: Rc<Field>) {
    let attacker = |field: Rc<Field>, number| async move {
        let Some(mut conn) = Conn::http(&field, number).await else { return };
        let body = r#"{"to":1000000000000000}"#;
        let request = format!(
            "POST /events/count?take=1 HTTP/1.1\r\nHost: {}\r\n{}Content-Length: {}\r\n\r\n{body}",
            field.target,
            field.sources.attacker(number).header_lines(),
            body.len()
        );
        while conn.send(request.as_bytes()).await {}
    };
    field.crowd(attacker).await;
}

async fn bodies(field: Rc<Field>) {
    let body: Rc<[u8]> = vec![b'1'; 999_999].into();
    let attacker = move |field: Rc<Field>, number| {
        let body = Rc::clone(&body);
        async move {
            let Some(mut conn) = Conn::http(&field, number).await else { return };
            let head = format!(
                "POST /events/echo HTTP/1.1\r\nHost: {}\r\n{}Content-Length: {}\r\n\r\n",
                field.target,
                field.sources.attacker(number).header_lines(),
                body.len() + 1
            );
            if conn.send(head.as_bytes()).await && conn.send(&body).await {
                conn.watch().await;
            }
        }
    };
    field.crowd(attacker).await;
}
