//! Answers of a cloud that is consistent in the end: for a while after a change it answers as before it, so that an
//! answer is believed only when it has had its time ([`remount_cloud::DiskCloud::settle`]).

use remount_host::{Poll, WaitError, wait_until};

use crate::{FlowContext, FlowError, Result};

/// A yes is believed at once, a no only when the cloud has had its time.
///
/// # Errors
/// That of the question; [`FlowError::WaitCancelled`].
pub async fn soon<F, Fut>(ctx: &FlowContext, what: &str, ask: F) -> Result<bool>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<bool>>,
{
    let found = found_soon(ctx, what, || {
        let answer = ask();
        async { Ok(answer.await?.then_some(())) }
    });
    Ok(found.await?.is_some())
}

/// The same for a thing: one that is found is believed at once.
///
/// # Errors
/// As [`soon`].
pub async fn found_soon<T, F, Fut>(ctx: &FlowContext, what: &str, ask: F) -> Result<Option<T>>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    let look = || {
        let answer = ask();
        async { Ok(answer.await?.map_or_else(|| Poll::NotYet(String::new()), Poll::Ready)) }
    };
    let waited = wait_until(ctx.cloud.settle(), ctx.timeouts.poll, &ctx.cancellation, look).await;
    match waited {
        Ok(found) => Ok(Some(found)),
        Err(WaitError::Deadline(_)) => Ok(None),
        Err(WaitError::Failed(error)) => Err(error),
        Err(WaitError::Cancelled) => Err(FlowError::WaitCancelled { waiting_for: what.to_owned() }),
    }
}

/// What is answered when the cloud has had its time: for what was changed a moment ago, by whomever.
///
/// # Errors
/// As [`soon`].
pub async fn finally<F, Fut>(ctx: &FlowContext, what: &str, ask: F) -> Result<bool>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<bool>>,
{
    // Asked all the while, not once at the end: where looks are what brings a cloud's replicas together, they help.
    let none = || {
        let answer = ask();
        async { answer.await.map(|_| None::<()>) }
    };
    found_soon(ctx, what, none).await?;
    ask().await
}
