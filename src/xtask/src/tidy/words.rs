//! Words that are not used here, in code, comments, messages and pages, and what to say instead. A reader who knows
//! PostgreSQL, BOSH and Rust has to guess each term; `docs/glossary.md` has those that are ours.

use super::Report;
use super::texts::{Line, Text};

/// How a word is looked for.
#[derive(Clone, Copy)]
enum How {
    /// In any case, also as a part of a name.
    Anywhere,
    /// In any case, as words of a text; may go on in the next line.
    Phrase,
    /// As it is written here, as a whole name.
    Name,
    /// As the name of a type that a Rust file declares.
    Type,
    /// As the name of a function that a Rust file declares.
    Function,
    /// As a macro.
    Macro,
}

use How::{Anywhere, Function, Macro, Name, Phrase, Type};

/// What is not said, and what is said instead.
const WORDS: [(How, &str, &str); 61] = [
    (Anywhere, "patience", "limit, deadline, retry policy"),
    (Anywhere, "secrecy", "file mode"),
    (Phrase, "standing", "state, status report"),
    (Phrase, "taken back", "rolled back, withdrawn"),
    (Phrase, "take back", "roll back, withdraw"),
    (Phrase, "takes back", "rolls back, withdraws"),
    (Phrase, "took back", "rolled back, withdrew"),
    (Phrase, "way back", "rollback"),
    (Phrase, "ways back", "rollback"),
    (Phrase, "way on from", "what to do next"),
    (Phrase, "lets everybody in", "is readable by everyone"),
    (Phrase, "everybody may read", "everyone may read"),
    (Phrase, "plans anew", "makes a new plan"),
    (Phrase, "mend the", "fix the"),
    (Phrase, "mend what", "fix what"),
    (Phrase, "mend it", "fix it"),
    (Phrase, "its block is one", "its configuration is valid"),
    (Phrase, "nobody yet", "what is missing, by its name"),
    (Phrase, "nobody has had", "work that was not done"),
    (Phrase, "bad night", "what the reader loses by it"),
    (Name, "Advice", "OperatorError"),
    (Name, "Meter", "ProgressReporter"),
    (Name, "Spent", "WaitTimes"),
    (Name, "Keeping", "OldDiskRetention"),
    (Name, "WishArguments", "RestoreOptions"),
    (Name, "Locally", "LocalDecision"),
    (Name, "WithPlan", "PlanDecision"),
    (Name, "ForgetTheMark", "ClearStaleMark"),
    (Name, "SENDINGS", "MAX_SENDS"),
    (Name, "FALLS_MAX", "MAX_RESTARTS"),
    (Name, "RHYTHM", "CHECK_INTERVAL"),
    (Name, "FAREWELL", "SHUTDOWN_LIMIT"),
    (Type, "Absent", "UnavailableErrand"),
    (Type, "Begun", "StartedRestore"),
    (Type, "Cell", "Case"),
    (Type, "Driver", "RemountProcess"),
    (Type, "Going", "RestoreRun"),
    (Type, "Known", "what is known, as StepOutputs or DatabaseState"),
    (Type, "Look", "Poll, inventory"),
    (Type, "Part", "role, or what it is a part of"),
    (Type, "Place", "BackupPosition"),
    (Type, "Scene", "TestLandscape"),
    (Type, "Stand", "RestoreState"),
    (Type, "Taking", "BackupRun"),
    (Type, "Trouble", "InjectedFault"),
    (Type, "Watch", "ProgressReporter"),
    (Function, "say", "print, write_message, or what it writes"),
    (Name, "patient_status", "status_with_retry"),
    (Name, "ways_on", "next_steps"),
    (Name, "stands_still", "waiting_state"),
    (Name, "mend_store", "restore_store"),
    (Name, "is_on_line", "is_on_timeline"),
    (Name, "OutLostAnswers", "LostAnswer"),
    (Name, "OutAnOutage", "Outage"),
    (Phrase, "matrix", "table of cases"),
    (Phrase, "confused its units", "what the mistake is"),
    (Phrase, "is hoped for, not demanded", "a warning, not a failure"),
    (Phrase, "not the night", "what fails instead"),
    (Function, "tell", "report"),
    (Macro, "answer!", "output!"),
    (Macro, "tell!", "message!"),
];

/// Where a word may stand all the same: the file (or folder, with `/` at its end), the word, why.
const ALLOWED: [(&str, &str, &str); 3] = [
    ("docs/glossary.md", "*", "says what not to say"),
    ("src/xtask/src/tidy/words.rs", "*", "the list itself"),
    ("src/xtask/src/tidy/planted.rs", "*", "shows that they are found"),
];

/// Looks for every word in every file.
pub(super) fn check(texts: &[Text], report: &mut Report<'_>) {
    for text in texts {
        for line in text.lines() {
            for (how, word, instead) in WORDS {
                if is_found(how, word, text, line) && !is_allowed(&text.name, word) {
                    report.add(&text.path, line.number, "word", format!("`{word}`: say {instead}"));
                }
            }
        }
    }
}

fn is_allowed(name: &str, word: &str) -> bool {
    let is_here = |place: &str| if place.ends_with('/') { name.starts_with(place) } else { name == place };
    ALLOWED.iter().any(|(place, allowed, _)| is_here(place) && matches!(*allowed, w if w == word || w == "*"))
}

fn is_found(how: How, word: &str, text: &Text, line: Line<'_>) -> bool {
    let is_rust = text.name.ends_with(".rs");
    match how {
        Anywhere => line.text.to_lowercase().contains(word),
        Phrase => {
            let ends = line.text.trim_end().len();
            let whole = line.rest(0).to_lowercase();
            whole.match_indices(word).any(|(at, _)| at < ends && stands_alone(&whole, at, word))
        }
        Name => has_name(line.text, word),
        Type => {
            is_rust
                && ["struct", "enum", "trait", "type"]
                    .iter()
                    .any(|kind| has_name(line.text, &format!("{kind} {word}")))
        }
        Function => is_rust && has_name(line.text, &format!("fn {word}")),
        Macro => is_rust && line.text.match_indices(word).any(|(at, _)| !ends_in_word(&line.text[..at])),
    }
}

fn has_name(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| stands_alone(line, at, name))
}

fn stands_alone(text: &str, at: usize, word: &str) -> bool {
    let after = text[at + word.len()..].chars().next();
    !ends_in_word(&text[..at]) && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn ends_in_word(text: &str) -> bool {
    text.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}
