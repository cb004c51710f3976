//! `GET /healthz`: what this process is, and whether its database can be reached.
//!
//! | status | body |
//! |---|---|
//! | 200 | `{"scheduling": "not in this version", "database": "reachable"}` |
//! | 503 | the same with `"unreachable"`, or `"unknown"` before the first look |
//!
//! The database is checked at an interval, not once per request, so that requests cost it nothing. Why it cannot be
//! reached is in the log alone, because everyone on the network may ask here.

use std::future::pending;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::database::Database;
use crate::error::{Result, system};

/// Between two checks of the database.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// How long an answer under way may take when the process is asked to stop.
const SHUTDOWN_LIMIT: Duration = Duration::from_millis(500);

/// What is known of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DatabaseState {
    Unknown,
    Reachable,
    Unreachable(String),
}

#[derive(Serialize)]
struct Health {
    scheduling: &'static str,
    database: &'static str,
}

/// Serves until SIGTERM or SIGINT.
pub async fn serve(config: &Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).map_err(system("listen for signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("listen for signals"))?;
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.map_err(system(format!("listen on {}", config.listen)))?;
    let address = listener.local_addr().map_err(system("ask for our own address"))?;
    log::warn!(address:%; "this version schedules nothing: it only tells its health");
    let (known, asked) = watch::channel(DatabaseState::Unknown);
    let routes = Router::new().route("/healthz", get(health)).with_state(asked);
    let (stop, stopped) = watch::channel(false);
    let serving = axum::serve(listener, routes).with_graceful_shutdown(until_told(stopped));
    let mut serving = tokio::spawn(serving.into_future());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = watch_over(&config.database, &known) => {}
    }
    stop.send_replace(true);
    if timeout(SHUTDOWN_LIMIT, &mut serving).await.is_err() {
        serving.abort();
    }
    log::info!("the scheduler has stopped");
    Ok(())
}

async fn until_told(mut stopped: watch::Receiver<bool>) {
    if stopped.wait_for(|told| *told).await.is_err() {
        pending::<()>().await;
    }
}

async fn health(State(known): State<watch::Receiver<DatabaseState>>) -> (StatusCode, Json<Health>) {
    let (status, database) = match *known.borrow() {
        DatabaseState::Reachable => (StatusCode::OK, "reachable"),
        DatabaseState::Unreachable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unreachable"),
        DatabaseState::Unknown => (StatusCode::SERVICE_UNAVAILABLE, "unknown"),
    };
    (status, Json(Health { scheduling: "not in this version", database }))
}

/// Checks the database until the process ends, and logs what changes.
async fn watch_over(database: &Database, known: &watch::Sender<DatabaseState>) {
    loop {
        let now = match database.check().await {
            Ok(()) => DatabaseState::Reachable,
            Err(why) => DatabaseState::Unreachable(why),
        };
        if *known.borrow() != now {
            match &now {
                DatabaseState::Unreachable(why) => log::warn!("the database cannot be reached: {why}"),
                DatabaseState::Reachable | DatabaseState::Unknown => {
                    log::info!("the database can be reached")
                }
            }
            known.send_replace(now);
        }
        sleep(CHECK_INTERVAL).await;
    }
}
