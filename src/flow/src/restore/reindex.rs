//! Rebuilds, after the promotion, the indexes of collations whose library is another one than the backup's (`--reindex`).
//!
//! It begins in `rejoin`, at once: from the promotion on users read these indexes. Nobody waits for it there, because the
//! standbys need not; `finish` does. Whoever asks again, also after a driver has died, is told how far it has come.

use remount_host::Poll;
use remount_postgres::{CollationRefresh, Server};

use super::context::RestoreContext;
use crate::wait::until;
use crate::{FlowError, Problem, Result};

/// Where it was asked for, has the promoted primary begin. What fails is told by [`where_asked`], which begins again.
pub async fn begin_where_asked(restore: &RestoreContext<'_>, server: &dyn Server) {
    if !restore.plan.options.reindex {
        return;
    }
    match server.refresh_collations(&restore.plan.id).await {
        Ok(_) => restore.reporter.note("indexes of collations with another version are being rebuilt"),
        Err(error) => restore
            .reporter
            .note(format!("indexes are not being rebuilt yet: {}", remount_core::with_causes(&error))),
    }
}

/// Where it was asked for, has the promoted primary rebuild them, and waits. A cluster without it is still restored: a
/// failure is a warning.
pub async fn where_asked(restore: &RestoreContext<'_>, server: &dyn Server) {
    if !restore.plan.options.reindex {
        return;
    }
    match rebuild(restore, server).await {
        Ok(databases) if databases.is_empty() => {
            restore.reporter.note("no collation has another version: no index was rebuilt");
        }
        Ok(databases) => restore.reporter.note(format!("indexes were rebuilt in {}", databases.join(", "))),
        Err(error) => restore.warn(format!(
            "indexes were not rebuilt ({}): text indexes can be wrong; rebuild them with `REINDEX DATABASE` in each database, then refresh the collations' versions",
            Problem::of(&error).what
        )),
    }
}

async fn rebuild(restore: &RestoreContext<'_>, server: &dyn Server) -> Result<Vec<String>> {
    let (id, instance) = (&restore.plan.id, &restore.primary()?.instance);
    let _waiting = restore.reporter.waiting_for_postgres();
    until(restore.ctx, "indexes rebuilt", restore.ctx.timeouts.start, || async move {
        let told = server.refresh_collations(id).await;
        match told.map_err(FlowError::server("rebuild indexes", instance))? {
            CollationRefresh::Running => Ok(Poll::NotYet("PostgreSQL is still at it".into())),
            CollationRefresh::Done { databases } => Ok(Poll::Ready(databases)),
            CollationRefresh::Failed { what } => {
                Err(FlowError::check(what, "read PostgreSQL's log below /var/vcap/sys/log/postgres"))
            }
        }
    })
    .await
}
