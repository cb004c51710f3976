//! Waiting for a fact: asks until it holds, the time is over, or the process is asked to stop.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Deadline;

/// What one question was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poll<T> {
    /// It holds.
    Ready(T),
    /// Not yet; what is there instead.
    NotYet(String),
}

/// How fast questions follow each other: quickly at first, for what takes a moment; then at a rate that a cloud's
/// limits bear for hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The first pause.
    pub first: Duration,
    /// No pause is longer.
    pub longest: Duration,
}

/// A pause is this part of the time waited so far: a late notice adds to the downtime.
const PAUSE_PART: u32 = 20;

impl Pace {
    /// The pause after so long a wait.
    #[must_use]
    pub fn pause(self, waited: Duration) -> Duration {
        (waited / PAUSE_PART).clamp(self.first.min(self.longest), self.longest)
    }
}

/// A wait that ended without what was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitError<E> {
    /// The time is over; what the last question was answered with.
    Deadline(String),
    /// The process was asked to stop.
    Cancelled,
    /// A question failed.
    Failed(E),
}

/// Asks until it is so or `limit` is over. A question that fails ends the wait.
///
/// # Errors
/// Every [`WaitError`].
pub async fn wait_until<T, E, F, Fut>(
    limit: Duration,
    pace: Pace,
    cancellation: &CancellationToken,
    mut ask: F,
) -> Result<T, WaitError<E>>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Poll<T>, E>>,
{
    let deadline = Deadline::after(limit);
    loop {
        let seen = match ask().await.map_err(WaitError::Failed)? {
            Poll::Ready(found) => return Ok(found),
            Poll::NotYet(seen) => seen,
        };
        if deadline.is_over() {
            return Err(WaitError::Deadline(seen));
        }
        let pause = pace.pause(limit.saturating_sub(deadline.left())).min(deadline.left());
        tokio::select! {
            () = cancellation.cancelled() => return Err(WaitError::Cancelled),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { first: Duration::from_millis(100), longest: Duration::from_secs(10) };

    #[test]
    fn questions_become_rarer_up_to_a_limit() {
        assert_eq!(PACE.pause(Duration::ZERO), PACE.first);
        assert_eq!(PACE.pause(Duration::from_secs(20)), Duration::from_secs(1));
        assert_eq!(PACE.pause(Duration::from_secs(7200)), PACE.longest);
    }

    #[tokio::test]
    async fn a_wish_to_stop_ends_a_wait_at_once() {
        let token = CancellationToken::new();
        token.cancel();
        let asked = wait_until(Duration::from_secs(60), PACE, &token, || async {
            Ok::<_, ()>(Poll::<()>::NotYet("nothing".into()))
        });
        let ended = tokio::time::timeout(Duration::from_secs(5), asked).await.expect("it does not wait");
        assert_eq!(ended, Err(WaitError::Cancelled));
    }

    #[tokio::test]
    async fn what_was_seen_last_is_told_when_the_time_is_over() {
        let token = CancellationToken::new();
        let limit = Duration::from_millis(30);
        let pace = Pace { first: Duration::from_millis(10), longest: Duration::from_millis(10) };
        let ended =
            wait_until(limit, pace, &token, || async { Ok::<_, ()>(Poll::<()>::NotYet("half".into())) })
                .await;
        assert_eq!(ended, Err(WaitError::Deadline("half".into())));
    }
}
