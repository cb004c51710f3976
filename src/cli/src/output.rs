//! Lines of output: answers on standard output, everything else on standard error.
//!
//! A reader may go away at any time: the `head` of a pipe, a terminal whose connection broke. `println!` would panic then,
//! in the middle of a restore; these macros do not.

use std::fmt;
use std::io::{self, Write};

/// A line on standard output.
macro_rules! output {
    ($($line:tt)*) => { $crate::output::line(&mut ::std::io::stdout().lock(), ::std::format_args!($($line)*)) };
}

/// A line on standard error.
macro_rules! message {
    ($($line:tt)*) => { $crate::output::line(&mut ::std::io::stderr().lock(), ::std::format_args!($($line)*)) };
}

pub(crate) use {message, output};

/// Writes a line. A closed output is no error.
pub fn line(out: &mut impl Write, text: fmt::Arguments<'_>) {
    let written: io::Result<()> = writeln!(out, "{text}").and_then(|()| out.flush());
    if let Err(error) = written {
        log::debug!(error:% = remount_core::with_causes(&error); "the output is closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_reason_to_stop() {
        line(&mut Gone, format_args!("{} of {}", 1, 2));
        let mut read = Vec::new();
        line(&mut read, format_args!("{} of {}", 1, 2));
        assert_eq!(read, b"1 of 2\n");
    }
}
