//! Runs the application's hooks: `_open.rs`, `_close.rs`, `_resume.rs`, `_away.rs`, `_back.rs` and `_password_reset.rs`.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aaw_event::host::{Instance, Step};
use aaw_event::{AwayInfo, BackInfo, CloseInfo, OpenInfo};
use aaw_protocol::{Code, Failure};

use crate::auth::{IdentifiedCaller, ResetHook};
use crate::registry::{ModuleHooks, Registry};
use crate::throttle::{LogThrottles, log_throttled};

/// The most bytes that are copied of what a hook returns, which is not used.
const MAX_LEN: usize = 64 << 10;

/// Runs the `_open` hook of each module, in order, until one refuses the connection. `passed` counts the modules that
/// have accepted it, also if this future is dropped: their `_close` hooks are to be run.
pub(super) async fn open<C: IdentifiedCaller>(
    registry: &Registry,
    caller: &Arc<C>,
    info: &OpenInfo,
    passed: &AtomicUsize,
) -> Result<(), Failure> {
    let body = serde_json::to_string(info).unwrap_or_default();
    for hooks in &registry.hooks {
        if let Some(open) = hooks.open {
            run(&hooks.instance, open, &body, caller, "_open").await?;
        }
        passed.fetch_add(1, Ordering::Release);
    }
    // All, including modules that replace these before the connection ends.
    passed.store(usize::MAX, Ordering::Release);
    Ok(())
}

/// Runs the `_resume` hook of each module, in order, until one refuses the new socket.
pub(super) async fn resume<C: IdentifiedCaller>(
    registry: &Registry,
    caller: &Arc<C>,
    info: &OpenInfo,
) -> Result<(), Failure> {
    let body = serde_json::to_string(info).unwrap_or_default();
    for hooks in &registry.hooks {
        if let Some(resume) = hooks.resume {
            run(&hooks.instance, resume, &body, caller, "_resume").await?;
        }
    }
    Ok(())
}

/// Runs the `_close` hooks of the first `passed` modules.
pub(super) async fn close<C: IdentifiedCaller>(
    registry: &Registry,
    throttles: &LogThrottles,
    caller: &Arc<C>,
    info: &CloseInfo,
    passed: usize,
) {
    let modules = registry.hooks.iter().take(passed);
    notify(modules, throttles, |hooks| hooks.close, serde_json::to_string(info), caller, "_close").await;
}

/// Runs the `_away` hooks of all modules.
pub(super) async fn away<C: IdentifiedCaller>(
    registry: &Registry,
    throttles: &LogThrottles,
    caller: &Arc<C>,
    info: &AwayInfo,
) {
    notify(registry.hooks.iter(), throttles, |hooks| hooks.away, serde_json::to_string(info), caller, "_away").await;
}

/// Runs the `_back` hooks of all modules.
pub(super) async fn back<C: IdentifiedCaller>(
    registry: &Registry,
    throttles: &LogThrottles,
    caller: &Arc<C>,
    info: &BackInfo,
) {
    notify(registry.hooks.iter(), throttles, |hooks| hooks.back, serde_json::to_string(info), caller, "_back").await;
}

/// Runs a hook of each of these modules, in order. Nothing depends on its result.
async fn notify<'a, C: IdentifiedCaller>(
    modules: impl Iterator<Item = &'a ModuleHooks>,
    throttles: &LogThrottles,
    hook: fn(&ModuleHooks) -> Option<usize>,
    body: serde_json::Result<String>,
    caller: &Arc<C>,
    name: &'static str,
) {
    let body = body.unwrap_or_default();
    for hooks in modules {
        if let Some(index) = hook(hooks)
            && let Err(failure) = run(&hooks.instance, index, &body, caller, name).await
            && let Some(suppressed) = throttles.hook_failures.pass()
        {
            tracing::error!(connection = %caller.context().id, suppressed, "{name} failed: {failure}");
        }
    }
}

/// Returns the function that delivers the token of a password reset through a module's `_password_reset` hook.
pub(super) fn password_reset<C: IdentifiedCaller>((instance, index): &(Instance, usize), caller: &Arc<C>) -> ResetHook {
    let (instance, index, caller) = (instance.clone(), *index, Arc::clone(caller));
    Arc::new(move |reset| {
        let (instance, caller) = (instance.clone(), Arc::clone(&caller));
        Box::pin(async move {
            let body = aaw_event::PasswordReset::new(reset.user.email, reset.token.as_str());
            let body = serde_json::to_string(&body).unwrap_or_default();
            run(&instance, index, &body, &caller, "_password_reset").await.map_err(|failure| failure.error)
        })
    })
}

async fn run<C: IdentifiedCaller>(
    instance: &Instance,
    index: usize,
    body: &str,
    caller: &Arc<C>,
    hook: &'static str,
) -> Result<(), Failure> {
    let mut call = instance.call(index, body, caller);
    let mut returned = Vec::new();
    match poll_fn(|cx| call.poll(cx, &mut returned, MAX_LEN)).await {
        Step::Item | Step::End | Step::TooLarge(_) => Ok(()),
        Step::Refused(failure) | Step::Failed(failure) => Err(failure),
        Step::Panicked(panic) => {
            log_throttled!(error, connection = %caller.context().id, "{hook} panicked: {panic}");
            Err(Failure::internal(Code::PANIC))
        }
        Step::Broken(what) => {
            log_throttled!(error, connection = %caller.context().id, "the events package violated the module ABI in {hook}: {what}");
            Err(Failure::internal(Code::INTERNAL))
        }
    }
}
