//! Whether something that was noted while an instance of a deployment was stopped is of its last stop, by the tasks.
//!
//! | newest task that can start or stop a server | the note was written | it is of |
//! |---|---|---|
//! | a stop, or a stop of another instance after it | since that began | the last stop |
//! | a deploy (`bosh stop` without `--no-converge` is one), and the instance is to be stopped | since that began | the last stop |
//! | anything else, one that is not known here, or none is kept | | nobody knows which |

use crate::Task;

/// Tasks that start and stop no server, by how their description begins.
const HARMLESS: [&str; 9] = [
    "run errand",
    "attach disk",
    "detach disk",
    "delete",
    "snapshot",
    "create snapshot",
    "retrieve",
    "fetch logs",
    "ssh",
];

/// Whether it is. `noted` is in seconds since 1970, the instance is to be stopped, `tasks` are its deployment's newest, the
/// newest first.
#[must_use]
pub fn is_of_last_stop(noted: i64, tasks: &[Task]) -> bool {
    let harmless = |task: &&Task| HARMLESS.iter().any(|words| task.description.starts_with(words));
    let mut telling = tasks.iter().filter(|task| !harmless(task)).enumerate();
    telling
        .find_map(|(newer, task)| {
            let during = task.started_at.is_some_and(|began| began <= noted);
            match task.description.as_str() {
                "stop instance" if during => Some(true),
                "stop instance" => None, // Another instance's, or the stop that left no note: what is before it tells.
                "create deployment" => Some(newer == 0 && during),
                _ => Some(false),
            }
        })
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TaskId, TaskState};

    fn told(tasks: &[(&str, i64)]) -> bool {
        let task = |(description, began): &(&str, i64)| Task {
            id: TaskId(1),
            state: TaskState::Done,
            word: "done".into(),
            description: (*description).to_owned(),
            result: None,
            deployment: None,
            context_id: None,
            started_at: Some(*began),
        };
        let tasks: Vec<Task> = tasks.iter().map(task).collect();
        is_of_last_stop(100, &tasks)
    }

    #[test]
    fn a_note_is_of_the_last_stop_only_where_the_tasks_show_it() {
        let (stop, start, deploy) = ("stop instance", "start instance", "create deployment");
        let errand = "run errand backup from deployment pg";
        for (tasks, expected) in [
            (&[(stop, 95)][..], true),
            (&[(errand, 900), (stop, 95), (start, 10)], true),
            (&[(stop, 120), (stop, 95)], true),
            (&[(deploy, 95)], true),
            // Started since, and stopped without a note.
            (&[(stop, 900), (start, 200), (stop, 95)], false),
            (&[(start, 200), (stop, 95)], false),
            // The note was written in the middle of a restart.
            (&[(stop, 900), (deploy, 95)], false),
            (&[(stop, 900), ("recreate instance", 95)], false),
            (&[(deploy, 200), (stop, 95)], false),
            (&[("scan and fix", 200), (stop, 95)], false),
            (&[("something new", 200), (stop, 95)], false),
            // Nothing is kept that old.
            (&[(stop, 900)], false),
            (&[], false),
        ] {
            assert_eq!(told(tasks), expected, "{tasks:?}");
        }
    }
}
