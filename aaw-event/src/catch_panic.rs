//! Catches panics at the boundary: those of an author's code, and those of host code that a package calls into.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

thread_local! {
    /// How many [`catch_panic`] calls are on this thread's stack.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// The last panic that the hook of a loaded package recorded on this thread: its text with its location, which the
    /// payload lacks.
    static RECORDED: Cell<Option<String>> = const { Cell::new(None) };
}

/// Runs `f`. If it panics, returns the text of the panic, with its location where the panic hook has recorded it.
///
/// A payload can be any value, so a panic in the payload's destructor is caught too.
pub(crate) fn catch_panic<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(f));
    DEPTH.set(DEPTH.get() - 1);
    result.map_err(|payload| {
        let text = text_of(&*payload);
        // The recorded text may belong to an earlier panic, which the author's code caught: `resume_unwind` calls no
        // hook, so it records nothing for this one.
        let text = take_recorded().filter(|recorded| recorded.starts_with(text)).unwrap_or_else(|| text.to_owned());
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            // Its destructor may panic as well, and so on: leak it.
            std::mem::forget(second);
            take_recorded();
        }
        text
    })
}

/// For a panic hook: records the panic if [`catch_panic`] will catch it on this thread; otherwise returns its text.
pub(crate) fn record_panic(info: &PanicHookInfo<'_>) -> Result<(), String> {
    let text = text_of(info.payload());
    let text = match info.location() {
        Some(location) => format!("{text} (at {location})"),
        None => text.to_owned(),
    };
    if DEPTH.get() == 0 {
        return Err(text);
    }
    // Fails while the thread is shutting down; then the payload's own text is used.
    let _ = RECORDED.try_with(|recorded| recorded.set(Some(text)));
    Ok(())
}

fn take_recorded() -> Option<String> {
    RECORDED.try_with(Cell::take).ok().flatten()
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a panic whose payload is not text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsOnDrop;

    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("second"));
        }
    }

    #[test]
    fn a_panic_is_returned_as_its_text() {
        assert_eq!(catch_panic(|| 1), Ok(1));
        assert_eq!(catch_panic(|| std::panic::resume_unwind(Box::new("first"))), Err::<(), _>("first".to_owned()));
    }

    #[test]
    fn a_panic_in_the_destructor_of_a_payload_is_caught() {
        let text = catch_panic(|| std::panic::resume_unwind(Box::new(PanicsOnDrop))).map(|()| 0);
        assert_eq!(text, Err("a panic whose payload is not text".to_owned()));
        assert_eq!(DEPTH.get(), 0);
    }

    #[test]
    fn the_recorded_location_of_an_earlier_panic_is_not_used_for_a_later_one() {
        let text = catch_panic(|| {
            RECORDED.set(Some("caught (at somewhere)".to_owned()));
            std::panic::resume_unwind(Box::new("later"));
        });
        assert_eq!(text, Err::<(), _>("later".to_owned()));
        let text = catch_panic(|| {
            RECORDED.set(Some("later (at a place)".to_owned()));
            std::panic::resume_unwind(Box::new("later"));
        });
        assert_eq!(text, Err::<(), _>("later (at a place)".to_owned()));
    }
}
