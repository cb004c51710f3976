//! `GET /healthz`: what this process is, and whether its database can be reached.
//!
//! | status | body |
//! |---|---|
//! | 200 | `{"scheduling": "not in this version", "database": "reachable"}` |
//! | 503 | the same with `"unreachable"`, or `"unknown"` before the first look |
//!
//! The database is looked at in a rhythm of our own, not once per question: whoever asks costs it nothing. Why it cannot
//! be reached is in the log alone, because anybody on the network may ask here.

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

/// Between two looks at the database.
const RHYTHM: Duration = Duration::from_secs(10);
/// What an answer under way is given to end when the process is asked to.
const FAREWELL: Duration = Duration::from_millis(500);

/// What is known of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
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
    log::warn!(address:%; "this version schedules nothing: it tells its health and no more");
    let (known, asked) = watch::channel(Known::Nothing);
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
    if timeout(FAREWELL, &mut serving).await.is_err() {
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

async fn health(State(known): State<watch::Receiver<Known>>) -> (StatusCode, Json<Health>) {
    let (status, database) = match *known.borrow() {
        Known::Reachable => (StatusCode::OK, "reachable"),
        Known::Unreachable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unreachable"),
        Known::Nothing => (StatusCode::SERVICE_UNAVAILABLE, "unknown"),
    };
    (status, Json(Health { scheduling: "not in this version", database }))
}

/// Looks for ever, and logs what changes.
async fn watch_over(database: &Database, known: &watch::Sender<Known>) {
    loop {
        let now = match database.look().await {
            Ok(()) => Known::Reachable,
            Err(why) => Known::Unreachable(why),
        };
        if *known.borrow() != now {
            match &now {
                Known::Unreachable(why) => log::warn!("the database cannot be reached: {why}"),
                Known::Reachable | Known::Nothing => log::info!("the database can be reached"),
            }
            known.send_replace(now);
        }
        sleep(RHYTHM).await;
    }
}
