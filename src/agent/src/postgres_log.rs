//! PostgreSQL's own reason, from the end of its newest log file.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The end of a log is where the reason is.
const TAIL_BYTES: u64 = 64 << 10;
const LINES_MAX: usize = 5;
/// The last one is the fence's, which judges again in the server's process.
const SEVERITIES: [&str; 4] = ["FATAL:", "PANIC:", "ERROR:", "PostgreSQL may not start:"];

/// The last lines that say why PostgreSQL ended or refuses. Best effort: none where there is no log.
pub fn last_reasons(folder: &Path) -> Vec<String> {
    let Some(file) = newest(folder) else { return Vec::new() };
    let tail = match tail(&file) {
        Ok(tail) => tail,
        Err(error) => {
            log::debug!(file:% = file.display(), error:%; "the log of PostgreSQL cannot be read");
            return Vec::new();
        }
    };
    let mut found: Vec<_> = reasons(last_life(&tail)).rev().take(LINES_MAX).map(str::to_owned).collect();
    found.reverse();
    found
}

/// What was written since the last start that left a reason: an older one's would mislead.
fn last_life(text: &str) -> &str {
    let starts = text.rmatch_indices("starting PostgreSQL ").map(|(at, _)| &text[at..]);
    starts.chain([text]).find(|life| reasons(life).next().is_some()).unwrap_or(text)
}

/// A server in recovery refuses sessions: that is not why it ended.
fn reasons(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    let is_reason = |line: &&str| {
        SEVERITIES.iter().any(|severity| line.contains(severity))
            && !line.contains("the database system is")
            && !line.contains("not yet accepting connections")
    };
    text.lines().filter(is_reason).map(str::trim)
}

fn newest(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let files = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        (metadata.is_file() && metadata.len() > 0).then(|| Some((metadata.modified().ok()?, entry.path())))?
    });
    // bpm writes two files per process; the one with a reason in it is wanted.
    let with_reason = |path: &Path| tail(path).is_ok_and(|tail| reasons(&tail).next().is_some());
    files.filter(|(_, path)| with_reason(path)).max_by_key(|(modified, _)| *modified).map(|(_, path)| path)
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reasons_are_told_and_refused_sessions_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let text = "LOG:  starting PostgreSQL 15\nFATAL:  of an earlier life\n\
                    LOG:  starting PostgreSQL 15\nFATAL:  the database system is starting up\n\
                    2026 [1] FATAL:  recovery ended before configured recovery target was reached\nLOG:  end\n";
        fs::write(folder.path().join("postgres.stderr.log"), text).unwrap();
        fs::write(folder.path().join("postgres.stdout.log"), "LOG:  nothing\n").unwrap();
        let expected = "2026 [1] FATAL:  recovery ended before configured recovery target was reached";
        assert_eq!(last_reasons(folder.path()), [expected]);
        assert!(last_reasons(Path::new("/nowhere")).is_empty());
    }
}
