//! The routes; their types are `remount_postgres`'s.
//!
//! | error | HTTP status |
//! |---|---|
//! | a state that does not allow it | 409 |
//! | PostgreSQL does not answer or refuses | 502 |
//! | a file cannot be read or written | 500 |
//! | the disk has no room for it, or takes nothing more | 507 |
//! | a body that cannot be used | 400, 413, 415 or 422 |

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use remount_core::with_causes;
use remount_postgres::{
    ApiError, BackupBegun, BackupEnded, BeginBackup, CollationRefresh, Error as PostgresError, Forwarded,
    LocalServer, NamedBackup, NamedRestore, PromoteRestore, Promoted, ServerStatus, StreamedWal, WalSwitched,
    WriteProbe,
};

use crate::config::AgentConfig;
use crate::disk::Disk;
use crate::error::Error;
use crate::serve::backup::BackupKeeper;
use crate::serve::collations::CollationKeeper;
use crate::unarchived::streamed;
use crate::{recovering, status};

/// No request has more than two names and a number.
const BODY_BYTES_MAX: usize = 16 << 10;

#[derive(Clone)]
struct Api {
    config: Arc<AgentConfig>,
    keeper: Arc<BackupKeeper>,
    collations: Arc<CollationKeeper>,
}

type Answer<T> = Result<Json<T>, Failure>;
type Body<T> = Result<Json<T>, JsonRejection>;

/// The API of one server.
pub fn routes(config: Arc<AgentConfig>, keeper: Arc<BackupKeeper>) -> Router {
    let collations = CollationKeeper::new(LocalServer::new(config.postgres.clone()));
    Router::new()
        .route("/v1/status", get(server_status))
        .route("/v1/backup/begin", post(begin_backup))
        .route("/v1/backup/renew", post(renew_backup))
        .route("/v1/backup/end", post(end_backup))
        .route("/v1/backup/abort", post(abort_backup))
        .route("/v1/wal/switch", post(switch_wal))
        .route("/v1/wal/streamed", post(archive_streamed))
        .route("/v1/probe", post(write_probe))
        .route("/v1/restore/promote", post(promote))
        .route("/v1/restore/forward", post(forward_restore))
        .route("/v1/restore/finish", post(finish_restore))
        .route("/v1/collations/refresh", post(refresh_collations))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Api { config, keeper, collations })
}

impl Api {
    fn server(&self) -> LocalServer {
        LocalServer::new(self.config.postgres.clone())
    }
}

async fn server_status(State(api): State<Api>) -> Answer<ServerStatus> {
    let disk = Disk::new(&api.config.directories);
    let mut status = status::of(&api.server(), &api.config.identity, &disk).await?;
    status.backup = api.keeper.in_progress().await;
    Ok(Json(status))
}

async fn begin_backup(State(api): State<Api>, body: Body<BeginBackup>) -> Answer<BackupBegun> {
    let Json(BeginBackup { backup, lease_seconds }) = body?;
    Ok(Json(to_its_end(async move { api.keeper.begin(&backup, lease_seconds).await }).await?))
}

async fn renew_backup(State(api): State<Api>, body: Body<NamedBackup>) -> Answer<()> {
    let Json(NamedBackup { backup }) = body?;
    Ok(Json(api.keeper.renew(&backup).await?))
}

async fn end_backup(State(api): State<Api>, body: Body<NamedBackup>) -> Answer<BackupEnded> {
    let Json(NamedBackup { backup }) = body?;
    Ok(Json(to_its_end(async move { api.keeper.end(&backup).await }).await?))
}

async fn abort_backup(State(api): State<Api>, body: Body<NamedBackup>) -> Answer<()> {
    let Json(NamedBackup { backup }) = body?;
    Ok(Json(to_its_end(async move { api.keeper.abort(&backup).await }).await?))
}

async fn switch_wal(State(api): State<Api>) -> Answer<WalSwitched> {
    Ok(Json(api.server().switch_wal().await?))
}

async fn archive_streamed(State(api): State<Api>) -> Answer<StreamedWal> {
    Ok(Json(to_its_end(async move { streamed::archive(&api.config, &api.server()).await }).await?))
}

async fn write_probe(State(api): State<Api>) -> Answer<WriteProbe> {
    Ok(Json(api.server().write_probe().await?))
}

async fn promote(State(api): State<Api>, body: Body<PromoteRestore>) -> Answer<Promoted> {
    let Json(PromoteRestore { restore, verified }) = body?;
    let promoted = async move { recovering::promote(&api.config, &restore, &verified).await };
    Ok(Json(to_its_end(promoted).await?))
}

async fn forward_restore(State(api): State<Api>, body: Body<NamedRestore>) -> Answer<Forwarded> {
    let Json(NamedRestore { restore }) = body?;
    Ok(Json(to_its_end(async move { recovering::forward(&api.config, &restore).await }).await?))
}

/// A reload follows even where nothing had to be removed: an earlier call may have died between the two.
async fn finish_restore(State(api): State<Api>, body: Body<NamedRestore>) -> Answer<()> {
    let Json(NamedRestore { restore }) = body?;
    let server = api.server();
    let removed = server.data_directory().remove_restore_settings()?;
    server.reload().await?;
    log::info!(restore:% = restore, removed; "the settings of the restore are gone");
    Ok(Json(()))
}

async fn refresh_collations(State(api): State<Api>, body: Body<NamedRestore>) -> Answer<CollationRefresh> {
    let Json(NamedRestore { restore }) = body?;
    Ok(Json(api.collations.refresh(&restore).await))
}

/// Runs to its end even where the driver hangs up: otherwise a change of state would stay half done.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::spawn(work).await {
        Ok(done) => Ok(done?),
        Err(error) => {
            let message = format!("the agent failed: {error}");
            Err(Failure(
                StatusCode::INTERNAL_SERVER_ERROR,
                ApiError { code: "agent".into(), message, backup: None, restore: None },
            ))
        }
    }
}

/// The answer to a call that failed.
struct Failure(StatusCode, ApiError);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl From<PostgresError> for Failure {
    fn from(error: PostgresError) -> Self {
        let status = match &error {
            PostgresError::BackupInProgress(_)
            | PostgresError::NoBackup(_)
            | PostgresError::Marked { .. }
            | PostgresError::Settings(_)
            | PostgresError::NoRestore(_)
            | PostgresError::NotVerified(_)
            | PostgresError::NotPrimary { .. }
            | PostgresError::OtherDisk(_)
            | PostgresError::NotText(_) => StatusCode::CONFLICT,
            PostgresError::NoRoom { .. } | PostgresError::Disk { .. } => StatusCode::INSUFFICIENT_STORAGE,
            PostgresError::Database { .. } | PostgresError::Unreachable { .. } => StatusCode::BAD_GATEWAY,
            PostgresError::File { .. } | PostgresError::Agent { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            PostgresError::Config(_) => StatusCode::BAD_REQUEST,
        };
        if status.is_server_error() {
            log::warn!(error:% = remount_core::with_causes(&error); "a call failed");
        }
        Self(status, ApiError::from(&error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Postgres(error) => error.into(),
            Error::File(error) => PostgresError::from(error).into(),
            error => {
                let message = with_causes(&error);
                log::warn!(error:% = message; "a call failed");
                let error = ApiError { code: "agent".into(), message, backup: None, restore: None };
                Self(StatusCode::INTERNAL_SERVER_ERROR, error)
            }
        }
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        let error =
            ApiError { code: "request".into(), message: rejection.body_text(), backup: None, restore: None };
        Self(rejection.status(), error)
    }
}

#[cfg(test)]
mod tests {
    use remount_core::OperatorError as _;
    use remount_core::Retry;
    use remount_host::durable;

    use super::*;

    /// What a driver is told of an error of the agent.
    fn told(error: Error) -> (StatusCode, PostgresError) {
        let Failure(status, error) = error.into();
        (status, error.into_error("begin a backup"))
    }

    #[test]
    fn a_full_disk_is_told_with_its_cause_and_is_not_asked_again() {
        let path = std::path::Path::new("/var/vcap/store/remount/backup.json");
        let full = durable::at(path)(std::io::Error::from_raw_os_error(28));
        let (status, error) = told(full.into());
        assert_eq!((status, error.retry()), (StatusCode::INSUFFICIENT_STORAGE, Retry::Never));
        assert!(error.to_string().contains("backup.json: No space left on device"), "{error}");
        assert!(error.next_step().is_some_and(|next| next.contains("persistent_disk_type")), "{error:?}");
    }

    #[test]
    fn every_error_is_told_with_its_causes() {
        let source = std::io::Error::other("the reason");
        let (_, error) = told(Error::System { action: "read the mounts".into(), source });
        assert_eq!(error.to_string(), "begin a backup: read the mounts: the reason");
    }
}
