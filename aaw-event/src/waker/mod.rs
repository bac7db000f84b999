//! Wakers that cross, in either direction: whoever polls lends its own, whoever is polled borrows it.
//!
//! A host lends one to a package's call, a package lends one to the host's stream of what a caller sends.

mod borrow;
mod lend;

pub(crate) use borrow::borrowed;
pub(crate) use lend::Lent;
