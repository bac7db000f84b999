//! Which form an answer takes, by the request's `Accept` (RFC 9110, 12.5.1).

/// The forms in which an event's items can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The answer; of a stream, all items as one array.
    Json,
    /// An item a line.
    Lines,
    /// Server-sent events.
    Events,
}

impl Form {
    /// In the order in which we would choose.
    const ALL: [Self; 3] = [Self::Json, Self::Lines, Self::Events];

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }
}

/// What a client is told that accepts none of them.
pub(super) const OFFERED: &str = "Events are answered as application/json, application/x-ndjson or text/event-stream";

/// The form that the client likes best; `None` if it accepts none. Without a header it takes anything.
pub(super) fn choose<'a>(accept: impl IntoIterator<Item = &'a str>) -> Option<Form> {
    let ranges: Vec<_> = accept.into_iter().flat_map(|value| value.split(',')).filter_map(Range::parse).collect();
    if ranges.is_empty() {
        return Some(Form::Json);
    }
    let weighed = Form::ALL.into_iter().filter_map(|form| {
        // The most specific range that covers a form says what it is worth; the first of those that are alike.
        let (at, range) = ranges
            .iter()
            .enumerate()
            .filter(|(_, range)| range.covers(form))
            .max_by_key(|(at, range)| (range.specificity(), std::cmp::Reverse(*at)))?;
        (range.quality > 0).then_some((form, (range.quality, range.specificity(), std::cmp::Reverse(at))))
    });
    // Among forms that are worth the same, one that was named comes before one that is merely covered, and then the
    // client's order counts, and ours. `max_by_key` gives the last of equals, so ours is turned round.
    weighed.collect::<Vec<_>>().into_iter().rev().max_by_key(|(_, worth)| *worth).map(|(form, _)| form)
}

/// One element of the header: `text/*;q=0.5`.
#[derive(Debug, PartialEq)]
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// Thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    /// What makes no sense is as if it were not there.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
        });
        Some(Self { kind, subtype, quality: quality.map_or(Some(1000), thousandths)? })
    }

    fn covers(&self, form: Form) -> bool {
        let (kind, subtype) = form.media_type().split_once('/').unwrap_or_default();
        match (self.kind, self.subtype) {
            ("*", "*") => true,
            (range, "*") => range.eq_ignore_ascii_case(kind),
            (range, sub) => range.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype),
        }
    }

    fn specificity(&self) -> u8 {
        u8::from(self.kind != "*") + u8::from(self.subtype != "*")
    }
}

/// A weight: 0 to 1 with up to three digits behind the point.
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

    #[test]
    fn what_was_asked_for_is_chosen() {
        for (accept, form) in [
            ("application/json", Form::Json),
            ("*/*", Form::Json),
            ("", Form::Json),
            ("application/*", Form::Json),
            ("text/event-stream", Form::Events),
            ("text/*", Form::Events),
            ("TEXT/Event-Stream", Form::Events),
            ("application/x-ndjson", Form::Lines),
            ("application/x-ndjson; charset=utf-8", Form::Lines),
            // A browser's address bar.
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Form::Json),
        ] {
            assert_eq!(choose([accept]), Some(form), "{accept}");
        }
        assert_eq!(choose([]), Some(Form::Json));
    }

    #[test]
    fn the_weights_decide_then_what_was_named_then_the_order() {
        for (accept, form) in [
            ("application/json;q=0.5, text/event-stream", Form::Events),
            ("application/json;q=0.5, text/event-stream;q=0.4", Form::Json),
            ("text/event-stream, */*", Form::Events),
            ("application/x-ndjson, application/json", Form::Lines),
            ("application/json, application/x-ndjson", Form::Json),
            ("application/json;q=0, */*", Form::Lines),
            ("*/*;q=0.1, application/x-ndjson ; Q=0.2", Form::Lines),
            ("*/*, application/*;q=0.9", Form::Events),
        ] {
            assert_eq!(choose([accept]), Some(form), "{accept}");
        }
        assert_eq!(choose(["text/html", "text/event-stream"]), Some(Form::Events), "two headers are one list");
    }

    #[test]
    fn what_we_do_not_have_is_not_made_up() {
        for accept in ["text/html", "application/xml, text/plain", "*/*;q=0", "image/*", "application/json;q=0.000"] {
            assert_eq!(choose([accept]), None, "{accept}");
        }
    }

    #[test]
    fn a_weight_that_is_none_takes_its_range_away() {
        for bad in ["1.5", "2", "-1", "x", "0.1234", ".5", "", "1.001"] {
            assert_eq!(Range::parse(&format!("text/html;q={bad}")), None, "{bad}");
        }
        assert_eq!(thousandths("0.25"), Some(250));
        assert_eq!(thousandths("1.000"), Some(1000));
        assert_eq!(thousandths("0."), Some(0));
    }
}
