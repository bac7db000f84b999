//! The application's own code at the beginning and the end of a connection: `_open.rs` and `_close.rs`.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aaw_event::host::{Instance, Step};
use aaw_event::{CloseInfo, OpenInfo};
use aaw_protocol::{Code, Failure};

use super::{Asker, Dispatch};
#[cfg(feature = "auth")]
use crate::auth::ResetHook;

/// What a hook answers is not used; what is longer is not even copied.
const MOST: usize = 64 << 10;

impl Dispatch {
    /// Whether there are any.
    pub(crate) fn has_hooks(&self) -> bool {
        !self.registry.load().hooks.is_empty()
    }

    /// Runs the `_open` of each module, in their order, until one refuses. `passed` counts the modules that have let the
    /// connection in, also if this is dropped meanwhile: they are the ones to be told of its end.
    pub(crate) async fn opened<C: Asker>(
        &self,
        who: &Arc<C>,
        opened: &OpenInfo,
        passed: &AtomicUsize,
    ) -> Result<(), Failure> {
        let registry = self.registry.load_full();
        let body = serde_json::to_string(opened).unwrap_or_default();
        for hooks in &registry.hooks {
            if let Some(open) = hooks.open {
                run(&hooks.instance, open, &body, who, "_open").await?;
            }
            passed.fetch_add(1, Ordering::Release);
        }
        // Of modules that are put in their places later, too.
        passed.store(usize::MAX, Ordering::Release);
        Ok(())
    }

    /// Runs the `_close` of so many modules, the first ones.
    pub(crate) async fn closed<C: Asker>(&self, who: &Arc<C>, why: &CloseInfo, passed: usize) {
        let registry = self.registry.load_full();
        let body = serde_json::to_string(why).unwrap_or_default();
        for hooks in registry.hooks.iter().take(passed) {
            if let Some(index) = hooks.close
                && let Err(failure) = run(&hooks.instance, index, &body, who, "_close").await
            {
                tracing::error!(connection = %who.uuid(), "_close failed: {failure}");
            }
        }
    }
}

/// The `_password_reset` of a module, for whoever asks for a reset.
#[cfg(feature = "auth")]
pub(super) fn deliver<C: Asker>(hook: &(Instance, usize), who: &Arc<C>) -> ResetHook {
    let ((instance, index), who) = (hook.clone(), Arc::clone(who));
    Arc::new(move |reset| {
        let (instance, who) = (instance.clone(), Arc::clone(&who));
        Box::pin(async move {
            let told = aaw_event::PasswordReset::new(reset.user.email, reset.token.as_str());
            let body = serde_json::to_string(&told).unwrap_or_default();
            run(&instance, index, &body, &who, "_password_reset").await.map_err(|failure| failure.error)
        })
    })
}

/// Nobody asks for one.
#[cfg(not(feature = "auth"))]
pub(super) fn deliver<C: Asker>(_hook: &(Instance, usize), _who: &Arc<C>) {}

async fn run<C: Asker>(
    instance: &Instance,
    index: usize,
    body: &str,
    who: &Arc<C>,
    hook: &'static str,
) -> Result<(), Failure> {
    let mut call = instance.call(index, body, who);
    let mut answer = Vec::new();
    match poll_fn(|cx| call.poll(cx, &mut answer, MOST)).await {
        Step::Item | Step::End | Step::TooLarge(_) => Ok(()),
        Step::Refused(failure) | Step::Failed(failure) => Err(failure),
        Step::Panicked(what) => {
            tracing::error!(connection = %who.uuid(), "{hook} panicked: {what}");
            Err(Failure::internal(Code::PANIC))
        }
    }
}
