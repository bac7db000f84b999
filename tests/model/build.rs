//! Copies the code of the mailbox, of what it stores of readers and senders, and of the flusher. They get the locks, tasks and
//! sockets of the model instead of the real ones.

use std::path::Path;
use std::{env, fs};

fn main() {
    let hub = Path::new("../../aaw-server/src/hub");
    let out = env::var("OUT_DIR").expect("cargo sets it");
    for file in ["mailbox.rs", "reader_pace.rs", "sender_hold.rs", "flusher.rs"] {
        let path = hub.join(file);
        println!("cargo::rerun-if-changed={}", path.display());
        let code = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        fs::write(Path::new(&out).join(file), in_model(&code)).expect("the folder is writable");
    }
}

fn in_model(code: &str) -> String {
    // Without its unit tests, and without the documentation of the module, which an included file cannot have.
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.starts_with("//!")).map(|line| {
        if !line.trim_start().starts_with("use ") && !line.contains("tokio::task::yield_now()") {
            return line.to_owned();
        }
        let line = line.replace("std::sync::", "crate::doubles::sync::");
        let line = line.replace("tokio::net::tcp::OwnedWriteHalf", "crate::doubles::OwnedWriteHalf");
        let line = line.replace("tokio::runtime::Handle", "crate::doubles::Handle");
        let line = line.replace("tokio::task::yield_now", "shuttle::future::yield_now");
        line.replace("crate::hub::", "crate::")
    });
    lines.collect::<Vec<_>>().join("\n")
}
