//! Answers of a cloud that is consistent in the end: for a while after a change it answers as before it, so that an
//! answer is believed only when it has had its time ([`remount_cloud::DiskCloud::settle`]).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::{FlowContext, FlowError, Result};

/// So many times a no is said before it is believed, whatever the clock says: a process that was held up for the whole of
/// the cloud's time has looked once, and may have seen the past.
const NOS: u32 = 5;

/// The time after a change in which a no is not believed.
pub struct Settling {
    since: Instant,
    limit: Duration,
    nos: AtomicU32,
}

impl Settling {
    /// The change was made now.
    pub fn begun(ctx: &FlowContext) -> Self {
        Self::within(ctx.cloud.settle())
    }

    fn within(limit: Duration) -> Self {
        Self { since: Instant::now(), limit, nos: AtomicU32::new(0) }
    }

    /// Counts a no. Answers whether it is to be believed.
    pub fn believes_no(&self) -> bool {
        let nos = self.nos.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.limit.is_zero() || (nos >= NOS && self.since.elapsed() > self.limit)
    }
}

/// A yes is believed at once, a no only when the cloud has had its time.
///
/// # Errors
/// That of the question; [`FlowError::WaitCancelled`].
pub async fn soon<F, Fut>(ctx: &FlowContext, what: &str, ask: F) -> Result<bool>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<bool>>,
{
    soon_within(ctx, ctx.cloud.settle(), what, ask).await
}

/// The same with another limit than the cloud's time.
///
/// # Errors
/// As [`soon`].
pub async fn soon_within<F, Fut>(ctx: &FlowContext, limit: Duration, what: &str, ask: F) -> Result<bool>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<bool>>,
{
    let found = found_within(ctx, limit, what, || {
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
    found_within(ctx, ctx.cloud.settle(), what, ask).await
}

/// It ends: each round counts a no, and takes its time.
async fn found_within<T, F, Fut>(ctx: &FlowContext, limit: Duration, what: &str, ask: F) -> Result<Option<T>>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    let settling = Settling::within(limit);
    loop {
        if let Some(found) = ask().await? {
            return Ok(Some(found));
        }
        if settling.believes_no() {
            return Ok(None);
        }
        let pause = ctx.timeouts.poll.pause(settling.since.elapsed()).min(limit);
        tokio::select! {
            () = ctx.cancellation.cancelled() => {
                return Err(FlowError::WaitCancelled { waiting_for: what.to_owned() });
            }
            () = tokio::time::sleep(pause) => {}
        }
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
