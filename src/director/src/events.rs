//! The output of a task: events and results, one JSON object per line.

use serde::Deserialize;
use serde_json::Value;

use crate::answer::unusable;
use crate::calls::Calls;
use crate::{Result, TaskId, route};

/// Pieces of one output; each holds at least one byte.
const PIECES: u32 = 10_000;

/// What a task said of its failure: the whole message, where the task itself has a short one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    pub code: i64,
    pub message: String,
}

#[derive(Deserialize)]
struct Event {
    error: Option<Value>,
    #[serde(default)]
    data: Value,
}

/// The whole output of a task; empty where there is none. Read it after the task's last state was read,
/// or its end may be missing.
pub(crate) fn output(calls: &Calls, task: TaskId, kind: &str) -> Result<String> {
    let action = format!("read the {kind} output of Director task {task}");
    let path = route::output(task, kind);
    let mut whole = String::new();
    for _ in 0..PIECES {
        let range = format!("bytes={}-", whole.len());
        let answer = calls.get(&action, &path, Some(&range))?;
        match answer.status {
            // No range was honoured: this is all of it.
            200 => return Ok(answer.body),
            206 => {
                let missing = announced(&answer.content_range)
                    .is_some_and(|size| whole.len() + answer.body.len() < size);
                whole.push_str(&answer.body);
                if !missing {
                    return Ok(whole);
                }
            }
            // 204: there is none. 416: nothing beyond what was read.
            204 | 416 => return Ok(whole),
            other => return Err(unusable(&action, format!("HTTP {other}"))),
        }
    }
    Err(unusable(&action, "its end was never reached"))
}

/// The whole size, as in `bytes 0-41/42`.
fn announced(content_range: &Option<String>) -> Option<usize> {
    content_range.as_ref()?.rsplit_once('/')?.1.trim().parse().ok()
}

/// The last failure that the events tell; none where they tell of none. Lines that cannot be read
/// are passed over: a message in part is better than none.
pub(crate) fn failure(events: &str) -> Option<Failure> {
    let mut last = None;
    let mut in_stage = None;
    for event in events.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok()) {
        match &event.error {
            Some(Value::Object(error)) => {
                let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
                let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
                last = Some(Failure { code, message: message.to_owned() });
            }
            Some(Value::String(message)) => last = Some(Failure { code: 0, message: message.clone() }),
            _ => {}
        }
        if let Some(message) = event.data.get("error").and_then(Value::as_str) {
            in_stage = Some(Failure { code: 0, message: message.to_owned() });
        }
    }
    last.or(in_stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_message_and_the_code_are_in_the_events() {
        let events = concat!(
            r#"{"time":1,"stage":"Preparing","tags":[],"total":1,"task":"x","index":1,"state":"failed","progress":0,"data":{"error":"short"}}"#,
            "\n{\"time\":1,\"type\":\"warning\",\"message\":\"old\"}\n",
            r#"{"time":2,"error":{"code":100,"message":"Failed to acquire lock for lock:deployment:pg uid: u."}}"#,
            "\n{\"cut",
        );
        let told = failure(events).unwrap();
        assert_eq!((told.code, told.message.starts_with("Failed to acquire lock")), (100, true));
        assert_eq!(failure("{}\nnonsense\n"), None);
    }

    #[test]
    fn a_stages_failure_is_told_where_nothing_else_is() {
        let told = failure(r#"{"state":"failed","data":{"error":"disk missing"}}"#).unwrap();
        assert_eq!(told, Failure { code: 0, message: "disk missing".into() });
    }
}
