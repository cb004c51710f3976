//! What a scenario prints while it runs.

use jiff::Timestamp;

/// Prints one line of progress, with the time.
pub(super) fn progress(line: &str) {
    let now = Timestamp::now().strftime("%H:%M:%S");
    eprintln!("demo {now}  {line}");
}
