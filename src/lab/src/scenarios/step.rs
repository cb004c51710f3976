//! The steps of a restore, as the lab's command line names them.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use remount_flow::RestoreStep;

/// What the lab makes fail in a step, for good.
const fn failure(step: RestoreStep) -> &'static str {
    match step {
        RestoreStep::Begin => "The Director cannot say which disks the instances have",
        RestoreStep::CreateDisks => "The cloud has no room for the new disks",
        RestoreStep::LastWal => "A segment that the restore needs is gone from the archive",
        RestoreStep::Publish => "The store refuses the plan",
        RestoreStep::SwapStandbys => "The Director cannot attach the standby's new disk",
        RestoreStep::StopPrimary => "The Director cannot stop the primary",
        RestoreStep::SwapPrimary => {
            "The Director takes the primary's old disk off and cannot attach the new one"
        }
        RestoreStep::Recover => "The Director cannot start the primary on its new disk",
        RestoreStep::Verify => {
            "The restored primary is not what was planned: its disk does not say which restore it applied"
        }
        RestoreStep::Promote => {
            "The restored primary's agent refuses to promote it: the old disks go back, the restored ones are kept"
        }
        RestoreStep::Rejoin => {
            "The Director cannot start the standby: the restore is held, and goes on when it can"
        }
        RestoreStep::Finish => {
            "The store refuses to let the plan go: the restore is held, and goes on when it does"
        }
    }
}

/// A shorter name for a step that is known by what the Director does.
const fn alias(step: RestoreStep) -> Option<&'static str> {
    match step {
        RestoreStep::StopPrimary => Some("stop"),
        RestoreStep::SwapPrimary => Some("attach"),
        RestoreStep::Recover => Some("start"),
        _ => None,
    }
}

/// The step with this name or alias.
///
/// # Errors
/// There is none; the steps that there are.
pub fn parse(text: &str) -> Result<RestoreStep, String> {
    let known = RestoreStep::ALL.into_iter().find(|step| alias(*step) == Some(text));
    known.map_or_else(|| text.parse(), Ok)
}

/// Parses a step on the command line, and says what each one's failure is.
pub fn parser() -> impl TypedValueParser<Value = RestoreStep> {
    let value = |step: RestoreStep| {
        let value = PossibleValue::new(step.as_str()).help(failure(step));
        match alias(step) {
            Some(alias) => value.alias(alias),
            None => value,
        }
    };
    PossibleValuesParser::new(RestoreStep::ALL.map(value)).try_map(|text| parse(&text))
}

/// The number of the journal's event that says that a step is done, where all went well before: after the list of
/// steps, two events a step.
#[must_use]
pub const fn done_event(step: RestoreStep) -> u64 {
    2 * (step as u64) + 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_typed_as_the_journal_names_it() {
        for step in RestoreStep::ALL {
            assert_eq!(parse(step.as_str()), Ok(step));
        }
        assert_eq!(parse("attach"), Ok(RestoreStep::SwapPrimary));
        assert_eq!(done_event(RestoreStep::Finish), 25);
    }
}
