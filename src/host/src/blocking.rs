//! Blocking calls on threads of their own.

/// Runs `work` on a thread that may block. Dropping the future does not stop it: a request that was sent is sent.
///
/// # Errors
/// Where the runtime ends before the work has begun: what `lost` makes of that.
pub async fn blocking<T, E, F>(work: F, lost: impl FnOnce(tokio::task::JoinError) -> E) -> Result<T, E>
where
    T: Send + 'static,
    E: Send + 'static,
    F: FnOnce() -> Result<T, E> + Send + 'static,
{
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.unwrap_or_else(|error| {
        if error.is_panic() {
            std::panic::resume_unwind(error.into_panic());
        }
        Err(lost(error))
    })
}
