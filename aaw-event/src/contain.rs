//! Panics stop here: code of an author's, and code of the host's that a package calls into.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

thread_local! {
    /// How many [`contained`] this thread is inside of.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// What the hook of a loaded package saw last on this thread: the text with its place, which the payload lacks.
    static SEEN: Cell<Option<String>> = const { Cell::new(None) };
}

/// Runs `f`; when it panics, what is known of the panic is the error.
///
/// Also contains what the panic's payload does when it is dropped: a payload can be any value.
pub(crate) fn contained<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(f));
    DEPTH.set(DEPTH.get() - 1);
    result.map_err(|payload| {
        let text = text_of(&*payload);
        // What was seen may be of an earlier panic: one that the author's code caught, where this one came by
        // `resume_unwind`, which calls no hook.
        let text = take_seen().filter(|seen| seen.starts_with(text)).unwrap_or_else(|| text.to_owned());
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            // Its drop may panic as well, and so on: it is leaked instead.
            std::mem::forget(second);
            take_seen();
        }
        text
    })
}

/// For a panic hook: remembers what `info` says when this thread will catch the panic, and gives it back when not.
pub(crate) fn seen(info: &PanicHookInfo<'_>) -> Result<(), String> {
    let text = text_of(info.payload());
    let text = match info.location() {
        Some(place) => format!("{text} (at {place})"),
        None => text.to_owned(),
    };
    if DEPTH.get() == 0 {
        return Err(text);
    }
    // Fails when the thread is ending: then the payload has to do.
    let _ = SEEN.try_with(|seen| seen.set(Some(text)));
    Ok(())
}

fn take_seen() -> Option<String> {
    SEEN.try_with(Cell::take).ok().flatten()
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a panic whose payload is no text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("second"));
        }
    }

    #[test]
    fn a_panic_becomes_its_text() {
        assert_eq!(contained(|| 1), Ok(1));
        assert_eq!(contained(|| std::panic::resume_unwind(Box::new("first"))), Err::<(), _>("first".to_owned()));
    }

    #[test]
    fn a_payload_whose_drop_panics_is_contained() {
        let text = contained(|| std::panic::resume_unwind(Box::new(Bomb))).map(|()| 0);
        assert_eq!(text, Err("a panic whose payload is no text".to_owned()));
        assert_eq!(DEPTH.get(), 0);
    }

    #[test]
    fn an_earlier_panic_that_was_caught_does_not_speak_for_a_later_one() {
        let text = contained(|| {
            SEEN.set(Some("caught (at somewhere)".to_owned()));
            std::panic::resume_unwind(Box::new("later"));
        });
        assert_eq!(text, Err::<(), _>("later".to_owned()));
        let text = contained(|| {
            SEEN.set(Some("later (at a place)".to_owned()));
            std::panic::resume_unwind(Box::new("later"));
        });
        assert_eq!(text, Err::<(), _>("later (at a place)".to_owned()));
    }
}
