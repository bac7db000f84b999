//! `_open.rs`, `_close.rs`, `_resume.rs`, `_away.rs`, `_back.rs`, `_guard.rs`, `_password_reset.rs`: handlers that are hooks, not events.

use syn::ReturnType;
use syn::spanned::Spanned;

use crate::handler::{check, find, is_unit, source_text};
use crate::source_error::SourceError;

/// Which hook a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HookKind {
    Open,
    Close,
    /// Runs before a connection goes on over another socket.
    Resume,
    /// Runs when a connection that may be resumed has lost its socket.
    Away,
    /// Runs when such a connection has been resumed.
    Back,
    /// Runs before each event of its folder.
    Guard,
    PasswordReset,
}

/// A hook of a package.
#[derive(Debug, Clone)]
pub(crate) struct HookFile {
    pub(crate) kind: HookKind,
    /// The path of its file below `src/`, without the extension: `users/_guard`.
    pub(crate) name: String,
    /// The path of its module: `crate::users::_guard`.
    pub(crate) module: String,
    pub(crate) is_async: bool,
    pub(crate) arguments: usize,
}

impl HookKind {
    /// The hook with this file name (without the extension).
    pub(crate) fn of(stem: &str) -> Option<Self> {
        match stem {
            "_open" => Some(Self::Open),
            "_close" => Some(Self::Close),
            "_resume" => Some(Self::Resume),
            "_away" => Some(Self::Away),
            "_back" => Some(Self::Back),
            "_guard" => Some(Self::Guard),
            "_password_reset" => Some(Self::PasswordReset),
            _ => None,
        }
    }

    /// The expected signature, for messages.
    fn expected(self) -> &'static str {
        match self {
            Self::Open | Self::Resume => {
                "`pub async fn handler(opened: OpenInfo, services: Services<App>) -> Result<()>`"
            }
            Self::Close => "`pub async fn handler(closed: CloseInfo, services: Services<App>) -> Result<()>`",
            Self::Away => "`pub async fn handler(away: AwayInfo, services: Services<App>) -> Result<()>`",
            Self::Back => "`pub async fn handler(back: BackInfo, services: Services<App>) -> Result<()>`",
            Self::Guard => "`pub async fn handler(call: GuardedCall, services: Services<App>) -> Result<()>`",
            Self::PasswordReset => {
                "`pub async fn handler(reset: PasswordReset, services: Services<App>) -> Result<()>`"
            }
        }
    }
}

/// Reads a hook. `name` is the path of its file below `src/`, without the extension; `module` that of its module.
pub(crate) fn read(file: &syn::File, kind: HookKind, name: &str, module: &str) -> Result<HookFile, SourceError> {
    let expected = kind.expected();
    let Some(handler) = find(file) else {
        return Err(SourceError::new(1, format!("no function `handler` found: expected {expected}")));
    };
    check(handler)?;
    let signature = &handler.sig;
    let arguments = signature.inputs.len();
    if arguments > 2 {
        let text = format!("the handler has {arguments} arguments: expected at most two, as in {expected}");
        return Err(SourceError::at(signature.ident.span(), text));
    }
    if let ReturnType::Type(_, output) = &signature.output
        && !is_unit(output)
    {
        let text =
            format!("the handler returns `{}`, which a hook cannot return: expected {expected}", source_text(output));
        return Err(SourceError::at(output.span(), text));
    }
    let (name, module) = (name.to_owned(), module.to_owned());
    Ok(HookFile { kind, name, module, is_async: signature.asyncness.is_some(), arguments })
}
