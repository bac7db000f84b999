//! Content negotiation by the headers `Accept` and `Accept-Encoding` (RFC 9110, 12.5.1 and 12.5.3).

use std::cmp::Reverse;

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, HeaderValue};

/// The formats of a response to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFormat {
    /// The response; of a stream, all items as one array.
    Json,
    /// One item per line (NDJSON).
    Lines,
    /// Server-sent events.
    Events,
}

impl BodyFormat {
    /// In the order of the server's preference.
    const ALL: [Self; 3] = [Self::Json, Self::Lines, Self::Events];

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }
}

/// The error text for a client that accepts none of the formats.
pub(super) const NOT_ACCEPTABLE: &str =
    "No acceptable format: events respond with application/json, application/x-ndjson or text/event-stream";

/// The media ranges that a client accepts, in the order of the header. Invalid ranges are left out.
#[derive(Debug)]
pub(super) struct Accept<'a>(Vec<MediaRange<'a>>);

impl<'a> Accept<'a> {
    pub(super) fn from_headers(headers: &'a HeaderMap) -> Self {
        Self::parse(headers.get_all(ACCEPT).iter().map(|value| value.to_str().unwrap_or_default()))
    }

    /// Parses the values of all `Accept` headers, which form one list.
    fn parse(values: impl IntoIterator<Item = &'a str>) -> Self {
        Self(values.into_iter().flat_map(|value| value.split(',')).filter_map(MediaRange::parse).collect())
    }

    /// Whether the header lists HTML itself, not just a wildcard, as browsers do for pages.
    pub(super) fn lists_html(&self) -> bool {
        self.0.iter().any(|range| range.is("text", "html") && range.quality > 0)
    }

    /// The format that the client prefers; `None` if it accepts none. Without a header it accepts all.
    ///
    /// The quality decides first; then a format that is listed by name goes before one that a wildcard covers, then
    /// the client's order counts, and last the server's.
    pub(super) fn preferred_format(&self) -> Option<BodyFormat> {
        if self.0.is_empty() {
            return Some(BodyFormat::Json);
        }
        let candidates = BodyFormat::ALL.into_iter().filter_map(|format| {
            // A format has the quality of the most specific range that covers it, the first of several equal ones.
            let (index, range) = self
                .0
                .iter()
                .enumerate()
                .filter(|(_, range)| range.covers(format))
                .max_by_key(|(index, range)| (range.specificity(), Reverse(*index)))?;
            (range.quality > 0).then_some((format, (range.quality, range.specificity(), Reverse(index))))
        });
        // `max_by_key` returns the last of several equal ones, hence the reversed order.
        candidates.collect::<Vec<_>>().into_iter().rev().max_by_key(|(_, rank)| *rank).map(|(format, _)| format)
    }
}

/// One element of the header, for example `text/*;q=0.5`.
#[derive(Debug, PartialEq)]
struct MediaRange<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// The weight, in thousandths.
    quality: u16,
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        Some(Self { kind, subtype, quality: quality(parts)? })
    }

    fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    fn covers(&self, format: BodyFormat) -> bool {
        let (kind, subtype) = format.media_type().split_once('/').unwrap_or_default();
        match (self.kind, self.subtype) {
            ("*", "*") => true,
            (range, "*") => range.eq_ignore_ascii_case(kind),
            _ => self.is(kind, subtype),
        }
    }

    fn specificity(&self) -> u8 {
        u8::from(self.kind != "*") + u8::from(self.subtype != "*")
    }
}

/// The content codings that a client accepts. Elements with an invalid weight are left out.
#[derive(Debug)]
pub(super) struct AcceptEncoding<'a>(Vec<(&'a str, u16)>);

impl<'a> AcceptEncoding<'a> {
    /// Parses the values of all headers, which form one list.
    pub(super) fn parse(values: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let values = values.into_iter().filter_map(|value| value.to_str().ok());
        let elements = values.flat_map(|value| value.split(',')).filter_map(|element| {
            let mut parts = element.split(';').map(str::trim);
            let coding = parts.next().filter(|coding| !coding.is_empty())?;
            // The old name of the same coding.
            let coding = if coding.eq_ignore_ascii_case("x-gzip") { "gzip" } else { coding };
            Some((coding, quality(parts)?))
        });
        Self(elements.collect())
    }

    /// The weight of a coding, in thousandths; 0: it is not accepted. What is not encoded is accepted unless it is
    /// excluded, but last. A client without the header may be unable to decode.
    pub(super) fn quality(&self, coding: &str) -> u16 {
        let find = |name: &str| self.0.iter().find(|(listed, _)| listed.eq_ignore_ascii_case(name));
        match find(coding).or_else(|| find("*")) {
            Some((_, quality)) => *quality,
            None => u16::from(coding == "identity"),
        }
    }
}

/// The weight among the parameters of an element, in thousandths; `None` if it is invalid.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> Option<u16> {
    let weight = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    weight.map_or(Some(1000), thousandths)
}

/// Parses a weight: 0 to 1, with up to three decimal places.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || rest.len() > 3 || !rest.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value = format!("{whole}{rest:0<3}").parse().ok()?;
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format<'a>(accept: impl IntoIterator<Item = &'a str>) -> Option<BodyFormat> {
        Accept::parse(accept).preferred_format()
    }

    #[test]
    fn a_single_acceptable_format_is_chosen() {
        for (accept, expected) in [
            ("application/json", BodyFormat::Json),
            ("*/*", BodyFormat::Json),
            ("", BodyFormat::Json),
            ("application/*", BodyFormat::Json),
            ("text/event-stream", BodyFormat::Events),
            ("text/*", BodyFormat::Events),
            ("TEXT/Event-Stream", BodyFormat::Events),
            ("application/x-ndjson", BodyFormat::Lines),
            ("application/x-ndjson; charset=utf-8", BodyFormat::Lines),
            // The header of a browser that opens a page.
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", BodyFormat::Json),
        ] {
            assert_eq!(format([accept]), Some(expected), "{accept}");
        }
        assert_eq!(format([]), Some(BodyFormat::Json));
    }

    #[test]
    fn quality_decides_before_specificity_and_specificity_before_order() {
        for (accept, expected) in [
            ("application/json;q=0.5, text/event-stream", BodyFormat::Events),
            ("application/json;q=0.5, text/event-stream;q=0.4", BodyFormat::Json),
            ("text/event-stream, */*", BodyFormat::Events),
            ("application/x-ndjson, application/json", BodyFormat::Lines),
            ("application/json, application/x-ndjson", BodyFormat::Json),
            ("application/json;q=0, */*", BodyFormat::Lines),
            ("*/*;q=0.1, application/x-ndjson ; Q=0.2", BodyFormat::Lines),
            ("*/*, application/*;q=0.9", BodyFormat::Events),
        ] {
            assert_eq!(format([accept]), Some(expected), "{accept}");
        }
        let two_headers = ["text/html", "text/event-stream"];
        assert_eq!(format(two_headers), Some(BodyFormat::Events), "two headers are one list");
    }

    #[test]
    fn a_header_that_accepts_none_of_the_formats_gets_none() {
        for accept in ["text/html", "application/xml, text/plain", "*/*;q=0", "image/*", "application/json;q=0.000"] {
            assert_eq!(format([accept]), None, "{accept}");
        }
    }

    #[test]
    fn only_a_header_that_lists_html_asks_for_a_page() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("*/*, Text/HTML;q=0.1", true),
            ("text/html;q=0, */*", false),
            ("text/*", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(Accept::parse([accept]).lists_html(), expected, "{accept}");
        }
    }

    #[test]
    fn the_weight_of_a_coding_is_its_own_or_else_that_of_the_wildcard() {
        for (header, [br, gzip, identity]) in [
            ("", [0, 0, 1]),
            ("gzip, deflate, br, zstd", [1000, 1000, 1]),
            ("gzip;q=0.5, br;q=0.25", [250, 500, 1]),
            ("GZIP ; Q=0.5", [0, 500, 1]),
            ("x-gzip", [0, 1000, 1]),
            ("*", [1000, 1000, 1000]),
            ("*;q=0.1, br;q=0", [0, 100, 100]),
            ("identity;q=0, *", [1000, 1000, 0]),
            ("*;q=0", [0, 0, 0]),
            ("identity", [0, 0, 1000]),
            ("br;q=2, gzip;q=x,,;q=1", [0, 0, 1]),
        ] {
            let header = HeaderValue::from_static(header);
            let accept = AcceptEncoding::parse([&header]);
            assert_eq!(
                ["br", "gzip", "identity"].map(|coding| accept.quality(coding)),
                [br, gzip, identity],
                "{header:?}"
            );
        }
        let two_headers = ["br", "gzip;q=0.5"].map(HeaderValue::from_static);
        assert_eq!(AcceptEncoding::parse(&two_headers).quality("gzip"), 500, "two headers are one list");
    }

    #[test]
    fn a_range_with_an_invalid_weight_is_ignored() {
        for bad in ["1.5", "2", "-1", "x", "0.1234", ".5", "", "1.001"] {
            assert_eq!(MediaRange::parse(&format!("text/html;q={bad}")), None, "{bad}");
        }
        assert_eq!(thousandths("0.25"), Some(250));
        assert_eq!(thousandths("1.000"), Some(1000));
        assert_eq!(thousandths("0."), Some(0));
    }
}
