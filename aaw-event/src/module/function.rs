//! The functions of a package, of which a table stores only the types.

/// The value of the zero-sized function type `F`, of which the table stores only the type.
///
/// # Safety
/// `F` is `Copy` and `Send`, and a value of it has existed: the returned value is one more copy.
pub(super) unsafe fn function_of<F>() -> F {
    const { assert!(size_of::<F>() == 0) };
    // SAFETY: there are no bytes to read, and the value is a copy of one that has existed.
    unsafe { std::ptr::NonNull::<F>::dangling().read() }
}
