//! Bare TCP, as in [`raw`](crate::raw): the first text of a connection starts a stream of numbers, in the frames of aaw's
//! dialect v1, which ends with the connection.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::frames::{Frame, write_text};
use crate::raw::{accepted, handshake};
use crate::{BoxError, listen};

/// Bytes that one write has at least.
const WRITE_BYTES: usize = 64 << 10;

pub(crate) fn serve() -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(LocalSet::new().run_until(async {
        let listener = listen().await?;
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            // An error ends only its connection.
            tokio::task::spawn_local(async move { drop(connection(socket).await) });
        }
    }))
}

async fn connection(mut socket: TcpStream) -> Result<(), BoxError> {
    let key = handshake(&mut socket).await?;
    socket.write_all(accepted(&key).as_bytes()).await?;
    let mut request = Vec::new();
    while Frame::parse(&request).is_none() {
        if socket.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let (mut out, mut text) = (Vec::with_capacity(WRITE_BYTES + 64), Vec::new());
    let mut number = 0u64;
    loop {
        out.clear();
        while out.len() < WRITE_BYTES {
            number += 1;
            text.clear();
            text.extend_from_slice(br#"["count","#);
            serde_json::to_writer(&mut text, &number)?;
            text.extend_from_slice(br#",1,"item"]"#);
            write_text(&mut out, &text);
        }
        socket.write_all(&out).await?;
    }
}
