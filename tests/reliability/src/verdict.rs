//! Compares what the clients know with what the server has run.

use aaw_test_events::_services::Executions;

use crate::calls::{FailedCall, Label, Report};
use crate::options::Expectation;
use crate::server::Counted;

/// What is wrong.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// One line each.
    pub(crate) violations: Vec<String>,
}

impl Verdict {
    /// `planned` is the number of calls that were to be made. That fewer were made, because the time was over, is a violation
    /// only if there is not one.
    pub(crate) fn new(expectation: Expectation, planned: u64, report: &Report, counted: &Counted) -> Self {
        let mut violations = Vec::new();
        let mut check = |is_right: bool, violation: &dyn Fn() -> String| {
            if !is_right {
                violations.push(violation());
            }
        };
        let made = report.made;
        check(planned == 0 || made > 0, &|| "no call was made".into());
        let ended = report.responses + report.failed.len() as u64;
        check(made == ended, &|| format!("{made} calls were made, and {ended} have ended"));
        for (id, Executions { started, .. }) in &counted.repeated {
            check(false, &|| format!("call {id} ran {started} times"));
        }
        check(counted.sum == counted.calls as i64 || !counted.repeated.is_empty(), &|| {
            format!("the counter is {} after {} calls", counted.sum, counted.calls)
        });
        let failed_that_ran = counted.executions.iter().filter(|executions| executions.started > 0).count() as u64;
        let expected = report.responses + failed_that_ran;
        check(counted.calls == expected, &|| {
            format!(
                "{} calls have run: {} have a response, and {failed_that_ran} have failed after they had begun",
                counted.calls, report.responses
            )
        });
        check(report.failed.len() == counted.executions.len(), &|| "the server does not know each call".into());
        for (failed, executions) in report.failed.iter().zip(&counted.executions) {
            let wrong = match expectation {
                Expectation::Responses => Some("no response"),
                Expectation::Labels => contradiction(failed.label, *executions),
            };
            let FailedCall { id, label, error } = failed;
            check(wrong.is_none(), &|| {
                let (wrong, label, ran) = (wrong.unwrap_or_default(), label.name(), executions.started);
                format!("call {id}: {wrong} ({label}, ran {ran} times): {error}")
            });
        }
        Self { violations }
    }
}

/// Why the label cannot be true.
fn contradiction(label: Label, executions: Executions) -> Option<&'static str> {
    match label {
        Label::NotSent => (executions.started > 0).then_some("not sent, but it has run"),
        // It ran, or still runs. It cannot wait at the server: fewer calls are in flight than may run.
        Label::Taken => (executions.started == 0).then_some("taken, but it has not run"),
        Label::Sent | Label::Unknown => None,
        // The server refuses none of these calls.
        Label::Failed => Some("failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAN: Executions = Executions { started: 1, completed: 1 };
    const NEVER: Executions = Executions { started: 0, completed: 0 };

    fn violations(expectation: Expectation, labels: &[(Label, Executions)], change: fn(&mut Counted)) -> Vec<String> {
        let failed = labels.iter().enumerate();
        let failed = failed.map(|(id, (label, _))| FailedCall { id: id as u64, label: *label, error: "E".into() });
        let report = Report { made: 10 + labels.len() as u64, responses: 10, failed: failed.collect() };
        let executions: Vec<_> = labels.iter().map(|(_, executions)| *executions).collect();
        let calls = 10 + executions.iter().filter(|one| one.started > 0).count() as u64;
        let mut counted = Counted { sum: calls as i64, calls, repeated: Vec::new(), executions };
        change(&mut counted);
        Verdict::new(expectation, 10, &report, &counted).violations
    }

    #[test]
    fn labels_that_can_be_true_are_no_violations() {
        let possible = [(Label::NotSent, NEVER), (Label::Taken, RAN), (Label::Sent, RAN), (Label::Sent, NEVER)];
        assert_eq!(violations(Expectation::Labels, &possible, |_| {}), [""; 0]);
        assert_eq!(violations(Expectation::Labels, &[(Label::Unknown, NEVER), (Label::Unknown, RAN)], |_| {}), [""; 0]);
        assert_eq!(violations(Expectation::Responses, &[], |_| {}), [""; 0]);
    }

    #[test]
    fn each_kind_of_violation_is_found() {
        for (labels, expected) in [
            ([(Label::NotSent, RAN)], "call 0: not sent, but it has run (not sent, ran 1 times): E"),
            ([(Label::Taken, NEVER)], "call 0: taken, but it has not run (taken, ran 0 times): E"),
            ([(Label::Failed, NEVER)], "call 0: failed (failed, ran 0 times): E"),
        ] {
            assert_eq!(violations(Expectation::Labels, &labels, |_| {}), [expected]);
        }
        let unknown = [(Label::Unknown, NEVER)];
        assert_eq!(
            violations(Expectation::Responses, &unknown, |_| {}),
            ["call 0: no response (unknown, ran 0 times): E"]
        );
        let twice = violations(Expectation::Responses, &[], |counted| {
            counted.repeated.push((7, Executions { started: 2, completed: 2 }));
            counted.sum += 1;
        });
        assert_eq!(twice, ["call 7 ran 2 times"]);
        let unknown = violations(Expectation::Responses, &[], |counted| (counted.calls, counted.sum) = (11, 11));
        assert_eq!(unknown, ["11 calls have run: 10 have a response, and 0 have failed after they had begun"]);
        let missing = violations(Expectation::Responses, &[], |counted| (counted.calls, counted.sum) = (9, 9));
        assert_eq!(missing, ["9 calls have run: 10 have a response, and 0 have failed after they had begun"]);
        let sum = violations(Expectation::Responses, &[], |counted| counted.sum = 9);
        assert_eq!(sum, ["the counter is 9 after 10 calls"]);
    }
}
