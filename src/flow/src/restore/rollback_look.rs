//! After everything was undone: is the cluster as it was? It is said only of what was looked at.

use remount_core::Role;
use remount_host::Poll;

use super::context::RestoreContext;
use crate::wait::until;
use crate::{FlowError, Problem, Result, instances};

/// What is not as it was: a primary that served when the restore was planned and does not now. One look is repeated for
/// a while, as a server that has just been started answers a moment later.
pub async fn differences(restore: &RestoreContext<'_>) -> Vec<String> {
    let Some(primary) = restore.plan.primary().filter(|primary| primary.was_running) else {
        return Vec::new();
    };
    let slug = &primary.instance;
    let look = || async {
        let instance = restore.instance(slug).await?;
        Ok(match instances::status(restore.ctx, &instance).await {
            Ok(status) if status.role == Role::Primary => Poll::Ready(()),
            Ok(_) => Poll::NotYet("it is in recovery".into()),
            Err(error) => Poll::NotYet(Problem::of(&error).what),
        })
    };
    let serves: Result<()> =
        until(restore.ctx, format!("{slug} serves"), restore.ctx.timeouts.lost_answer, look).await;
    match serves {
        Ok(()) => Vec::new(),
        Err(FlowError::Deadline { last_seen, .. }) => {
            vec![format!(
                "the primary {slug} does not serve: {}",
                last_seen.unwrap_or_else(|| "no answer".into())
            )]
        }
        Err(error) => {
            vec![format!("it is not known whether the primary {slug} serves: {}", Problem::of(&error).what)]
        }
    }
}
