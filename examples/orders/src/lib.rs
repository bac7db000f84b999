//! The events of a shop: `orders/watch` is a stream of totals that the client controls, `orders/add` adds a product.

#![forbid(unsafe_code)]

aaw_event::events!();
