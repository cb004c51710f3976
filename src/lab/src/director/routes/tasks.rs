//! Tasks: list, show, output, cancel.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State as AxumState};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use super::{Api, Reply, Shared, Who, json_as_json};
use crate::director::auth::{Need, team_of};
use crate::director::error::{DirectorError, Result};
use crate::director::tasks::{TaskFilter, TaskRow};

#[derive(Debug, Deserialize)]
pub(super) struct ListQuery {
    state: Option<String>,
    limit: Option<String>,
    deployment: Option<String>,
    verbose: Option<String>,
    context_id: Option<String>,
}

/// `GET /tasks`.
pub(super) async fn list(
    AxumState(api): Shared,
    Extension(caller): Who,
    Query(query): Query<ListQuery>,
) -> Reply {
    let reads_all = api.director.authorize(&caller, Need::DirectorRead).is_ok();
    if !reads_all && !caller.scopes.iter().any(|scope| team_of(scope).is_some()) {
        api.director.authorize(&caller, Need::DirectorRead)?;
    }
    let words = query.state.unwrap_or_default();
    let filter = TaskFilter {
        states: words.split(',').filter(|w| !w.is_empty()).map(str::to_owned).collect(),
        deployment: query.deployment,
        context_id: query.context_id,
        // As Ruby's to_i: no number counts as 0, and so as 1.
        limit: query.limit.map(|text| text.parse().unwrap_or(0)),
        all_kinds: query.verbose.is_some_and(|level| level != "1"),
    };
    let tasks = api.director.write(|s| {
        s.tasks.time_out_silent(api.director.config.checkpoint_interval);
        let visible = s.tasks.list(&filter).into_iter();
        let visible =
            visible.filter(|task| reads_all || api.director.authorize(&caller, Need::TaskRead(task)).is_ok());
        visible.map(TaskRow::to_json).collect()
    });
    Ok(json_as_json(&Value::Array(tasks)))
}

/// `GET /tasks/ID`: also where a dead worker's task becomes `timeout`.
pub(super) async fn show(AxumState(api): Shared, Extension(caller): Who, Path(task): Path<String>) -> Reply {
    let row = api.director.write(|s| {
        s.tasks.time_out_silent(api.director.config.checkpoint_interval);
        s.tasks.get(number(&task)?).cloned()
    })?;
    api.director.authorize(&caller, Need::TaskRead(&row))?;
    Ok(json_as_json(&row.to_json()))
}

fn number(task: &str) -> Result<u64> {
    task.parse().map_err(|_| DirectorError::task_not_found(task))
}

#[derive(Debug, Deserialize)]
pub(super) struct OutputQuery {
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// `GET /tasks/ID/output`.
pub(super) async fn output(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path(task): Path<String>,
    Query(query): Query<OutputQuery>,
    headers: HeaderMap,
) -> Reply {
    let row = row(&api, &task)?;
    let kind = query.kind.as_deref().unwrap_or("debug");
    let (need, text) = match kind {
        "event" => (Need::TaskRead(&row), row.event_output.as_str()),
        "result" => (Need::TaskRead(&row), row.result_output.as_str()),
        "none" => (Need::TaskRead(&row), ""),
        "debug" => (Need::TaskAdmin(&row), row.debug_output.as_str()),
        "cpi" => (Need::TaskAdmin(&row), ""),
        other => {
            let error = DirectorError::new(600_000, format!("Unknown type {other}"));
            return Err(DirectorError { status: 401, ..error });
        }
    };
    api.director.authorize(&caller, need)?;
    let has_range = matches!(kind, "event" | "result");
    match headers.get(header::RANGE).and_then(|value| value.to_str().ok()) {
        Some(range) if has_range => Ok(part(text, range)),
        _ if text.is_empty() && !has_range => Ok(StatusCode::NO_CONTENT.into_response()),
        _ => Ok(plain(StatusCode::OK, text)),
    }
}

/// One range of a task's output: 206, or 416 where nothing is there yet.
fn part(text: &str, range: &str) -> Response {
    let size = text.len();
    match parse_range(range, size) {
        None => plain(StatusCode::OK, text),
        Some(None) => {
            let headers = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
            (StatusCode::RANGE_NOT_SATISFIABLE, headers, "Byte range unsatisfiable").into_response()
        }
        Some(Some((first, last))) => {
            let bytes = text.as_bytes()[first..=last].to_vec();
            let headers = [(header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}"))];
            (StatusCode::PARTIAL_CONTENT, headers, bytes).into_response()
        }
    }
}

/// `bytes=a-b`, `bytes=a-`, `bytes=-n`: none where it is not understood, and within it none where it
/// lies beyond the end.
fn parse_range(range: &str, size: usize) -> Option<Option<(usize, usize)>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let bounds = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => (first, last.min(size.saturating_sub(1))),
        (Ok(first), Err(_)) if last.is_empty() => (first, size.saturating_sub(1)),
        (Err(_), Ok(length)) if first.is_empty() => (size.saturating_sub(length), size.saturating_sub(1)),
        _ => return None,
    };
    Some((bounds.0 < size && bounds.0 <= bounds.1).then_some(bounds))
}

fn plain(status: StatusCode, text: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html;charset=utf-8")], text.to_owned()).into_response()
}

fn row(api: &Api, task: &str) -> Result<TaskRow> {
    api.director.read(|s| s.tasks.get(number(task)?).cloned())
}

/// `DELETE /task/ID` (singular).
pub(super) async fn cancel(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path(task): Path<String>,
) -> Reply {
    api.director.authorize(&caller, Need::DirectorAdmin)?;
    let id = number(&task)?;
    if api.director.write(|s| s.tasks.cancel(id))? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let state = row(&api, &task)?.state.word();
    Ok(plain(StatusCode::BAD_REQUEST, &format!("Cannot cancel task {task}: invalid state ({state})")))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Selector {
    states: Vec<String>,
    types: Vec<String>,
    deployment: Option<String>,
}

/// `POST /tasks/cancel`.
pub(super) async fn cancel_many(AxumState(api): Shared, Extension(caller): Who, body: Bytes) -> Reply {
    api.director.authorize(&caller, Need::DirectorAdmin)?;
    let mut selector: Selector = serde_json::from_slice(&body).unwrap_or_default();
    if let Some(state) = selector.states.iter().find(|s| !matches!(s.as_str(), "queued" | "processing")) {
        let text = format!("{state} is not one of the cancellable states: queued, processing");
        return Ok(plain(StatusCode::BAD_REQUEST, &text));
    }
    if selector.states.is_empty() {
        selector.states.push("queued".into());
    }
    api.director.write(|s| {
        for id in s.tasks.select(&selector.states, &selector.types, selector.deployment.as_deref()) {
            s.tasks.cancel(id)?;
        }
        Ok::<(), DirectorError>(())
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn a_range_at_or_after_the_end_is_not_satisfiable() {
        assert_eq!(parse_range("bytes=0-", 10), Some(Some((0, 9))));
        assert_eq!(parse_range("bytes=10-", 10), Some(None));
        assert_eq!(parse_range("bytes=0-", 0), Some(None));
        assert_eq!(parse_range("bytes=2-4", 10), Some(Some((2, 4))));
        assert_eq!(parse_range("bytes=-3", 10), Some(Some((7, 9))));
        assert_eq!(parse_range("lines=1-2", 10), None);
    }
}
