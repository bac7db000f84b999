//! The events of a shop: `orders/watch` is a stream of totals which its reader steers, `orders/add` a new product.

#![forbid(unsafe_code)]

aaw_event::events!();
