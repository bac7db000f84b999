//! The log of `--log json`: one line of JSON per call on standard output, written at once: the time of its end, and the
//! fields of `CallRecord`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use aaw_server::CallRecord;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use crate::line_writer::{self, LineQueue, LineWriter};

/// Starts the thread that writes to standard output.
pub(crate) fn start() -> io::Result<(LineQueue, LineWriter)> {
    // Without the buffer of `io::stdout`, which would keep a line whose write failed.
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    line_writer::start("json-log", output, |lost| {
        tracing::warn!(lost, "calls are missing from the JSON log: standard output failed, or its reader is too slow");
    })
}

/// Queues the line of a call. Bodies and results longer than the limit are cut; a limit of 0 leaves them out.
pub(crate) fn write(queue: &LineQueue, call: &CallRecord<'_>, limit: Option<usize>) {
    let mut timestamp = String::new();
    // Fails if the time is before 1970.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let line = match limit {
        None => serde_json::to_vec(&Line { timestamp, call }),
        Some(limit) => match serde_json::to_value(call) {
            Ok(Value::Object(mut call)) => {
                cut_bodies(&mut call, limit);
                serde_json::to_vec(&Line { timestamp, call })
            }
            _ => return,
        },
    };
    if let Ok(mut line) = line {
        line.push(b'\n');
        queue.push(line);
    }
}

/// A line. The time has the format and name of the other log's.
#[derive(Serialize)]
struct Line<C> {
    timestamp: String,
    #[serde(flatten)]
    call: C,
}

/// Cuts the values that clients and handlers choose: the body, the result, and the data of an error.
fn cut_bodies(call: &mut Map<String, Value>, limit: usize) {
    cut(call, "body", limit);
    cut(call, "result", limit);
    if let Some(Value::Object(error)) = call.get_mut("error") {
        cut(error, "data", limit);
    }
}

/// Replaces a value whose JSON is longer than the limit by a text: its beginning, and an ellipsis.
fn cut(object: &mut Map<String, Value>, key: &str, limit: usize) {
    if limit == 0 {
        object.remove(key);
        return;
    }
    let Some(value) = object.get_mut(key) else { return };
    let text = value.to_string();
    if text.len() > limit {
        let end = (0..=limit).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
        *value = format!("{}…", &text[..end]).into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_bodies_are_cut_and_a_limit_of_0_leaves_them_out() {
        let call =
            json!({"event": "a", "body": {"k": "äöü"}, "result": [1], "error": {"error": "no", "data": "1234567"}});
        let cut = |limit| {
            let mut call = call.as_object().unwrap().clone();
            cut_bodies(&mut call, limit);
            Value::Object(call)
        };
        assert_eq!(cut(100), call);
        let expected =
            json!({"event": "a", "body": "{\"k\":\"…", "result": [1], "error": {"error": "no", "data": "\"123456…"}});
        assert_eq!(cut(7), expected);
        assert_eq!(cut(0), json!({"event": "a", "error": {"error": "no"}}));
    }
}
