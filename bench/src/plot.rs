//! The picture of the results: bars, in SVG.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
/// Where bars begin, to the right of the names.
const BARS_AT: f64 = 180.0;
/// The width of the longest bar; a number follows it.
const LONGEST: f64 = 500.0;
const LINE: f64 = 24.0;

/// Colours for light pages, and for dark ones. `own` is for aaw.
const STYLE: &str = "text{font:14px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.bar{fill:#8c959f}.own{fill:#0969da}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.bar{fill:#6e7681}.own{fill:#4493f8}}";

/// Bars below a title.
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) bars: Vec<Bar>,
}

pub(crate) struct Bar {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    /// The value as it is printed.
    pub(crate) label: String,
}

/// Returns the picture, for light and dark pages.
pub(crate) fn svg(charts: &[Chart]) -> String {
    let mut content = String::new();
    let mut y = 10.0;
    for Chart { title, bars } in charts {
        let longest = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        y += LINE;
        let _ = writeln!(content, r#"<text class="title" x="10" y="{y}">{title}</text>"#);
        for Bar { name, value, label } in bars {
            y += LINE;
            let class = if name.starts_with("aaw") { "bar own" } else { "bar" };
            let (width, top, end) = (value / longest * LONGEST, y - 14.0, BARS_AT - 10.0);
            let _ = writeln!(content, r#"<text x="{end}" y="{y}" text-anchor="end">{name}</text>"#);
            let _ = writeln!(
                content,
                r#"<rect class="{class}" x="{BARS_AT}" y="{top}" width="{width:.1}" height="18" rx="2"/>"#
            );
            let _ = writeln!(content, r#"<text x="{:.1}" y="{y}">{label}</text>"#, BARS_AT + width + 8.0);
        }
        y += LINE;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\" role=\"img\">\n\
         <title>Processor time of servers and clients</title>\n<style>{STYLE}</style>\n{content}</svg>\n"
    )
}
