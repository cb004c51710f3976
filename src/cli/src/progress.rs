//! How a flow's steps look: a line that changes on a terminal, plain lines elsewhere. On standard error, so that
//! an answer on standard output stays clean; an errand's operator reads both.

use std::io::{IsTerminal as _, Write as _};

use jiff::Timestamp;
use remount_flow::{Progress, StepEvent, StepEventKind};

/// Prints steps as they come.
#[derive(Debug)]
pub struct Lines {
    on_terminal: bool,
}

impl Lines {
    /// By what standard error is.
    pub fn new() -> Self {
        Self { on_terminal: std::io::stderr().is_terminal() }
    }
}

impl Progress for Lines {
    fn step(&self, event: &StepEvent) {
        let line = line_of(event);
        let mut stderr = std::io::stderr().lock();
        let written = if self.on_terminal {
            // A step that has begun is overwritten by its end.
            let end = if event.kind == StepEventKind::Begun { "" } else { "\n" };
            write!(stderr, "\r\x1b[2K{line}{end}").and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "{} {line}", Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ"))
        };
        if let Err(error) = written {
            log::debug!(error:%; "nobody reads the progress any more");
        }
    }
}

fn line_of(event: &StepEvent) -> String {
    let StepEvent { number, total, step, seconds, .. } = event;
    let what = match event.kind {
        StepEventKind::Begun => "…".to_owned(),
        StepEventKind::Note => String::new(),
        StepEventKind::Done => format!("done ({seconds:.2} s)"),
        StepEventKind::Failed => format!("FAILED ({seconds:.2} s)"),
        StepEventKind::UndoBegun => "undoing …".to_owned(),
        StepEventKind::Undone => format!("undone ({seconds:.2} s)"),
        StepEventKind::UndoFailed => format!("UNDO FAILED ({seconds:.2} s)"),
    };
    let detail = event.detail.as_deref().unwrap_or_default();
    let space = if what.is_empty() || detail.is_empty() { "" } else { "  " };
    format!("[{number:>2}/{total}] {step:<16} {what}{space}{detail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_in_the_list_it_is() {
        let event = StepEvent {
            run: "r".into(),
            step: "swap_primary".into(),
            number: 9,
            total: 13,
            kind: StepEventKind::Done,
            seconds: 1.234,
            detail: Some("disk-1 is attached".into()),
        };
        assert_eq!(line_of(&event), "[ 9/13] swap_primary     done (1.23 s)  disk-1 is attached");
    }
}
