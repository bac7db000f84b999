//! socketioxide on axum: Socket.IO. `announce` is a broadcast to all other sockets, `room/say` to
//! the others in a room.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use serde::Deserialize;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::handler::ConnectHandler;

use crate::{BoxError, listen, run};

#[derive(Deserialize)]
struct Join {
    name: String,
}

#[derive(Deserialize)]
struct Say {
    name: String,
    text: String,
}

pub(crate) fn serve() -> Result<(), BoxError> {
    run(async {
        let (layer, io) = SocketIo::builder()
            // More than 100 KB, the default, for bodies of 1 MB.
            .max_payload(2_000_000)
            // More than 128, the default, for 256 calls at once: a response that does not fit would be lost.
            .max_buffer_size(1024)
            // The idle connections of the generator do not answer heartbeats.
            .ping_interval(Duration::from_secs(600))
            .build_layer();
        io.ns("/", connected.with(register));
        let listener = listen().await?.tap_io(|socket| {
            let _ = socket.set_nodelay(true);
        });
        Ok(axum::serve(listener, Router::new().layer(layer)).await?)
    })
}

async fn connected(_: SocketRef) {}

/// Registers the handlers. As a middleware, which runs before the client learns that it is connected: the connect handler
/// runs afterwards, and an event that arrives before it is lost.
async fn register(socket: SocketRef) -> Result<(), Infallible> {
    socket.on("echo", async |Data::<Value>(body), ack: AckSender| {
        let _ = ack.send(&body);
    });
    socket.on("announce", async |socket: SocketRef, Data::<Value>(body)| {
        let _ = socket.broadcast().emit("broadcast", &body).await;
    });
    socket.on("room/join", async |socket: SocketRef, Data::<Join>(join)| socket.join(join.name));
    socket.on("room/say", async |socket: SocketRef, Data::<Say>(say)| {
        let _ = socket.to(say.name).emit("said", &json!({ "text": say.text })).await;
    });
    Ok(())
}
