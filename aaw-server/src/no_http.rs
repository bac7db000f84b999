//! What stands in the place of `http` without that feature: WebSockets, and a word to everybody else.

use std::future::{Ready, ready};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::{Request, Response, StatusCode};

use crate::handshake::{Serving, is_upgrade, plain, respond};
use crate::server::StartError;
use crate::shared::Shared;

/// Routes of the program's own: there are none.
#[derive(Debug, Default)]
pub(crate) struct Routes {}

/// Where requests come in.
#[derive(Debug, Clone)]
pub(crate) struct Front;

impl Front {
    pub(crate) fn new(_shared: &Arc<Shared>, _routes: Routes) -> Result<Self, StartError> {
        Ok(Self)
    }

    pub(crate) fn respond(&self, serving: Serving, mut request: Request<Incoming>) -> Ready<Response<String>> {
        ready(if is_upgrade(request.headers()) { respond(serving.visitor(), &mut request) } else { upgrade_required() })
    }
}

fn upgrade_required() -> Response<String> {
    let text = "This is an aaw server. Connect to it with a WebSocket: `aaw call ws://HOST:PORT ping`.\n";
    let mut response = plain(StatusCode::UPGRADE_REQUIRED, text.into());
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade, close"));
    response
}
