//! What a restore says while another task holds the lock that it waits for.

use remount_director::Error;

use super::context::RestoreContext;

/// Says who holds the lock that a change waits for.
pub async fn name_the_lock(restore: &RestoreContext<'_>, action: &str, error: &Error) {
    let deployment = restore.plan.deployment.as_str();
    let locks = restore.ctx.director.locks().await.unwrap_or_default();
    let held = locks.into_iter().find(|lock| lock.resource.iter().any(|resource| resource == deployment));
    let line = match held.and_then(|lock| lock.task_id) {
        Some(task) => format!(
            "{action}: Director task {task} holds the lock of deployment {deployment}; waiting for it \
             (`bosh task {task}` follows it)"
        ),
        None => format!("{action}: {error}; trying again"),
    };
    restore.reporter.note(line);
}
