//! What a handler asks about its caller: that it shall be somebody, or nobody.

use std::future::ready;
use std::sync::Arc;

use aaw_protocol::{Code, Failure};
use serde::Deserialize;

use super::Identity;
use super::service::{Asked, Service};
use crate::dispatch::Asker;

#[derive(Deserialize)]
struct Authenticate {
    user: Identity,
}

/// The operations `authenticate` and `logout`; nothing for any other. The arguments are JSON.
pub(crate) fn host_op_async<C: Asker>(
    auth: Option<&Arc<Service>>,
    who: &Arc<C>,
    op: &str,
    args: &str,
) -> Option<Asked> {
    let (service, who) = match (op, auth) {
        ("authenticate" | "logout", Some(service)) => (Arc::clone(service), Arc::clone(who)),
        ("authenticate", None) => {
            let failure = Failure::new(Code::UNREACHABLE, "Authentication is not enabled");
            return Some(Box::pin(ready(Err(failure))));
        }
        ("logout", None) => return Some(Box::pin(ready(Ok("null".into())))),
        _ => return None,
    };
    who.changes();
    let user = (op == "authenticate").then(|| serde_json::from_str::<Authenticate>(args));
    Some(Box::pin(async move {
        match user {
            Some(Ok(Authenticate { user })) => service.authenticate(&who, user).await,
            Some(Err(error)) => Err(Failure::new(Code::HANDLER, format!("authenticate: {error}"))),
            None => service.log_out(&who).await.map(|()| "null".into()),
        }
    }))
}
