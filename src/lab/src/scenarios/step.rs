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

/// What may follow `--fail-at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailAt {
    /// The list of steps.
    Help,
    /// A step.
    Step(RestoreStep),
}

/// Parses what follows `--fail-at`, and says what each step's failure is.
pub fn parser() -> impl TypedValueParser<Value = FailAt> {
    let value = |step: RestoreStep| {
        let value = PossibleValue::new(step.as_str()).help(failure(step));
        match alias(step) {
            Some(alias) => value.alias(alias),
            None => value,
        }
    };
    let help = PossibleValue::new(HELP).help("List the steps; nothing else is done");
    PossibleValuesParser::new(RestoreStep::ALL.map(value).into_iter().chain([help]))
        .try_map(|text| if text == HELP { Ok(FailAt::Help) } else { parse(&text).map(FailAt::Step) })
}

const HELP: &str = "help";

/// The steps, in order, each with what fails in it.
#[must_use]
pub fn list() -> String {
    let line = |step: RestoreStep| {
        let alias = alias(step).map(|alias| format!(" ({alias})")).unwrap_or_default();
        format!("{:<22} {}\n", format!("{step}{alias}"), failure(step))
    };
    RestoreStep::ALL.map(line).concat()
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
    fn help_lists_every_step_with_its_alias() {
        let parsed = |text: &str| {
            let command = clap::Command::new("x").arg(clap::Arg::new("at").value_parser(parser()));
            *command.try_get_matches_from(["x", text]).unwrap().get_one::<FailAt>("at").unwrap()
        };
        assert_eq!(parsed("help"), FailAt::Help);
        assert_eq!(parsed("attach"), FailAt::Step(RestoreStep::SwapPrimary));
        let listed = list();
        assert_eq!(listed.lines().count(), RestoreStep::ALL.len());
        assert!(listed.contains("swap_primary (attach)"), "{listed}");
    }

    #[test]
    fn each_step_is_typed_as_the_journal_names_it() {
        for step in RestoreStep::ALL {
            assert_eq!(parse(step.as_str()), Ok(step));
        }
        assert_eq!(parse("attach"), Ok(RestoreStep::SwapPrimary));
        assert_eq!(done_event(RestoreStep::Finish), 25);
    }
}
