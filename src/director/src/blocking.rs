//! Blocking calls on threads of their own.

use std::sync::Arc;

use crate::calls::Calls;
use crate::{Error, Result};

/// Runs `work` on a thread that may block. Dropping the future does not stop it: a request that
/// was sent is sent.
pub(crate) async fn blocking<T, F>(calls: &Arc<Calls>, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&Calls) -> Result<T> + Send + 'static,
{
    let calls = calls.clone();
    let outcome = tokio::task::spawn_blocking(move || work(&calls)).await;
    outcome.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => Err(Error::Unanswered { action: "call the Director".into(), source: Box::new(error) }),
    })
}
