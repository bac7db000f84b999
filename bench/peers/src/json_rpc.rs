//! jsonrpsee: JSON-RPC 2.0. `announce` goes to all subscribers.

use jsonrpsee::core::SubscriptionError;
use jsonrpsee::server::{Server, ServerConfig};
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::{RpcModule, SubscriptionMessage};
use serde_json::value::RawValue;
use tokio::sync::broadcast;

use crate::{BoxError, listen, run};

pub(crate) fn serve() -> Result<(), BoxError> {
    run(async {
        // More connections than the 100 of the default; everything else as it is.
        let config = ServerConfig::builder().ws_only().max_connections(20_000).build();
        let listener = listen().await?.into_std()?;
        let server = Server::builder().set_config(config).build_from_tcp(listener)?;
        server.start(module()?).stopped().await;
        Ok(())
    })
}

fn module() -> Result<RpcModule<broadcast::Sender<Box<RawValue>>>, BoxError> {
    let mut module = RpcModule::new(broadcast::channel(1024).0);
    module.register_async_method("echo", |params, _, _| async move { params.one::<Box<RawValue>>() })?;
    module.register_method("announce", |params, announcements, _| {
        // Without subscribers there is nobody to send it to.
        let _ = announcements.send(params.one()?);
        Ok::<_, ErrorObjectOwned>(())
    })?;
    module.register_subscription("subscribe", "push", "unsubscribe", |_, pending, announcements, _| async move {
        let mut announcements = announcements.subscribe();
        let sink = pending.accept().await?;
        loop {
            let message = SubscriptionMessage::from(announcements.recv().await?);
            if sink.send(message).await.is_err() {
                return Ok::<_, SubscriptionError>(());
            }
        }
    })?;
    Ok(module)
}
