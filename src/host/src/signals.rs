//! Requests to stop, by signals.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels the token at SIGTERM or SIGINT; `told` is called first. SIGHUP (the terminal is gone) does not
/// stop a run: the database may not serve until it ends.
///
/// # Errors
/// The kernel gives no signals.
pub fn cancel_on_signals(token: CancellationToken, told: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => log::warn!("the terminal is gone: going on without it"),
            }
        }
        told();
        token.cancel();
    });
    Ok(())
}

/// Waits until the token is cancelled, or for ever where there is none.
pub async fn cancelled(token: Option<&CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}
