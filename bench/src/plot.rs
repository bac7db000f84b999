//! The picture of the results: bars, in SVG.

use std::fmt::Write as _;

use crate::report::{Column, Report, short};
use crate::rows::ROWS;

const WIDTH: f64 = 760.0;
/// Where bars begin, to the right of the names.
const BARS_AT: f64 = 120.0;
/// The width of the longest bar; a number follows it.
const LONGEST: f64 = 560.0;
const LINE: f64 = 24.0;

/// Colours for light pages, and for dark ones. `own` is for aaw.
const STYLE: &str = "text{font:14px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.bar{fill:#8c959f}.own{fill:#0969da}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.bar{fill:#6e7681}.own{fill:#4493f8}}";

/// Returns the picture, for light and dark pages.
pub(crate) fn svg(report: &Report) -> String {
    let mut content = String::new();
    let mut y = 10.0;
    for (title, column) in [
        ("µs of processor time for a call (32 connections, 32 in flight each)", Column::Busy),
        ("µs of processor time for a delivery (one message to 1000 connections)", Column::Push),
    ] {
        let bars: Vec<_> = ROWS.iter().filter_map(|row| Some((row.name, report.median(row.name, column)?))).collect();
        let longest = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
        y += LINE;
        let _ = writeln!(content, r#"<text class="title" x="10" y="{y}">{title}</text>"#);
        for (name, value) in bars {
            y += LINE;
            let class = if name.starts_with("aaw") { "bar own" } else { "bar" };
            let (width, top, end) = (value / longest * LONGEST, y - 14.0, BARS_AT - 10.0);
            let _ = writeln!(content, r#"<text x="{end}" y="{y}" text-anchor="end">{name}</text>"#);
            let _ = writeln!(
                content,
                r#"<rect class="{class}" x="{BARS_AT}" y="{top}" width="{width:.1}" height="18" rx="2"/>"#
            );
            let _ = writeln!(content, r#"<text x="{:.1}" y="{y}">{}</text>"#, BARS_AT + width + 8.0, short(value));
        }
        y += LINE;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\" role=\"img\">\n\
         <title>Processor time of the servers</title>\n<style>{STYLE}</style>\n{content}</svg>\n"
    )
}
