//! `_open.rs`, `_close.rs`, `_guard.rs`, `_password_reset.rs`: handlers that are no events.

use syn::ReturnType;
use syn::spanned::Spanned;

use crate::handler::{check, find, is_nothing, written};
use crate::tree::Fault;

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Open,
    Close,
    /// Before each event of its folder.
    Guard,
    /// When somebody has forgotten their password.
    PasswordReset,
}

/// A hook of a package.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) when: When,
    /// Its file below `src/`, without the ending: `users/_guard`.
    pub(crate) name: String,
    /// `crate::users::_guard`.
    pub(crate) module: String,
    pub(crate) is_async: bool,
    pub(crate) arguments: usize,
}

impl When {
    /// By the file's name.
    pub(crate) fn of(stem: &str) -> Option<Self> {
        match stem {
            "_open" => Some(Self::Open),
            "_close" => Some(Self::Close),
            "_guard" => Some(Self::Guard),
            "_password_reset" => Some(Self::PasswordReset),
            _ => None,
        }
    }

    /// How its handler begins, for the words.
    fn expected(self) -> &'static str {
        match self {
            Self::Open => "`pub async fn handler(opened: OpenInfo, services: Services<App>) -> Result<()>`",
            Self::Close => "`pub async fn handler(closed: CloseInfo, services: Services<App>) -> Result<()>`",
            Self::Guard => "`pub async fn handler(call: GuardedCall, services: Services<App>) -> Result<()>`",
            Self::PasswordReset => {
                "`pub async fn handler(reset: PasswordReset, services: Services<App>) -> Result<()>`"
            }
        }
    }
}

/// Reads the hook that is the module `module`; `name` is its file below `src/`, without the ending.
pub(crate) fn read(file: &syn::File, when: When, name: &str, module: &str) -> Result<Hook, Fault> {
    let expected = when.expected();
    let Some(handler) = find(file) else {
        return Err(Fault { line: 1, text: format!("there is no handler: expected {expected}") });
    };
    check(handler)?;
    let signature = &handler.sig;
    let arguments = signature.inputs.len();
    if arguments > 2 {
        let text = format!("the handler has {arguments} arguments: expected {expected}, or fewer arguments");
        return Err(Fault { line: signature.ident.span().start().line, text });
    }
    if let ReturnType::Type(_, output) = &signature.output
        && !is_nothing(output)
    {
        let text = format!("the handler returns `{}`, which nobody gets: expected {expected}", written(output));
        return Err(Fault { line: output.span().start().line, text });
    }
    let (name, module) = (name.to_owned(), module.to_owned());
    Ok(Hook { when, name, module, is_async: signature.asyncness.is_some(), arguments })
}
