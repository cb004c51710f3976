//! The one rule for what failed in passing: a lost connection, a throttle, an answer that made no sense. Adapters
//! are wrapped into it once (`retrying.rs` of each); the code above them repeats no call.
//!
//! Pauses double from try to try, with jitter, up to a ceiling; a peer that says how long to wait is obeyed. The
//! whole has one deadline, and the error that ends it says how often and for how long it was tried.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use remount_core::{Attempts, OperatorError, Retry};
use tokio_util::sync::CancellationToken;

use crate::{Deadline, cancelled};

/// Before the second try, without jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer, unless the peer asks for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A call that begins after the wish to stop is a clean-up, and is tried for so long: BOSH kills what it has asked to
/// stop after 10 s.
const CLEAN_UP: Duration = Duration::from_secs(3);

/// How long a call that fails in passing is tried again.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// In all, from the first try on. It limits when the last try begins; how long that one takes is the adapter's limit.
    total: Duration,
    /// For all calls together, whatever the limit of each.
    until: Option<Deadline>,
    /// How long a call that was denied is tried again.
    denials: Duration,
    /// Ends the waiting for a next try at once.
    cancellation: CancellationToken,
}

impl RetryPolicy {
    /// For so long in all.
    #[must_use]
    pub fn within(total: Duration) -> Self {
        Self { total, until: None, denials: Duration::ZERO, cancellation: CancellationToken::new() }
    }

    /// Each call and all calls together until this deadline.
    #[must_use]
    pub fn until(deadline: Deadline) -> Self {
        Self { until: Some(deadline), ..Self::within(deadline.left()) }
    }

    /// A call that is denied is tried again for so long, within the other limits: for who cannot be told to come again later.
    /// While permissions are changed, or keys rotated, a peer denies in passing.
    #[must_use]
    pub fn denials_for(self, denials: Duration) -> Self {
        Self { denials, ..self }
    }

    /// Ended by this token: a call that is being tried again ends at once. One that begins later is a clean-up, and gets a
    /// few seconds.
    #[must_use]
    pub fn cancelled_by(self, cancellation: CancellationToken) -> Self {
        Self { cancellation, ..self }
    }

    /// The token that ends it.
    #[must_use]
    pub const fn cancellation(&self) -> &CancellationToken {
        &self.cancellation
    }

    /// How long a call that begins now is tried.
    fn limit(&self) -> Duration {
        let limit = self.until.map_or(self.total, |until| until.left().min(self.total));
        if self.cancellation.is_cancelled() { limit.min(CLEAN_UP) } else { limit }
    }
}

/// An error that can say how often a call was tried.
pub trait Retryable: OperatorError {
    /// The same error after so many tries.
    #[must_use]
    fn after(self, attempts: Attempts) -> Self;

    /// Whether the peer has denied what was asked: for good, unless somebody is changing that just now.
    fn is_denial(&self) -> bool {
        false
    }
}

/// Calls until it succeeds, fails for good, or the policy's time is over.
///
/// # Errors
/// That of the last try, with how often it was tried.
pub async fn retry<T, E, F, Fut>(policy: &RetryPolicy, mut call: F) -> Result<T, E>
where
    E: Retryable,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let limit = policy.limit();
    let deadline = Deadline::after(limit);
    let waits_for_stop = (!policy.cancellation.is_cancelled()).then_some(&policy.cancellation);
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build();
    let mut tries = 0_u32;
    loop {
        tries = tries.saturating_add(1);
        let error = match call().await {
            Err(error) if error.retry() == Retry::Soon => error,
            Err(error) if error.is_denial() && !policy.denials.is_zero() => error,
            outcome => return outcome,
        };
        let ours = pauses.next().unwrap_or(LONGEST_PAUSE);
        let pause = error.retry_after().map_or(ours, |asked| asked.max(ours));
        let elapsed = limit.saturating_sub(deadline.left());
        let denied_long_enough = error.retry() != Retry::Soon && elapsed + pause >= policy.denials;
        if pause >= deadline.left() || denied_long_enough {
            return Err(error.after(Attempts { tries, elapsed }));
        }
        log::warn!(error:% = remount_core::with_causes(&error), tries, pause_ms = pause.as_millis(); "call failed, trying again");
        tokio::select! {
            () = cancelled(waits_for_stop) => return Err(error.after(Attempts { tries, elapsed })),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("lost{attempts}")]
    struct Lost {
        retry: Retry,
        retry_after: Option<Duration>,
        attempts: Attempts,
    }

    impl Lost {
        fn now(retry: Retry) -> Self {
            Self { retry, retry_after: None, attempts: Attempts::ONCE }
        }
    }

    impl OperatorError for Lost {
        fn retry(&self) -> Retry {
            self.retry
        }

        fn retry_after(&self) -> Option<Duration> {
            self.retry_after
        }

        fn next_step(&self) -> Option<String> {
            None
        }
    }

    impl Retryable for Lost {
        fn after(self, attempts: Attempts) -> Self {
            Self { attempts, ..self }
        }

        fn is_denial(&self) -> bool {
            self.retry == Retry::Never
        }
    }

    #[tokio::test]
    async fn a_denial_is_tried_again_for_as_long_as_it_is_said_and_then_told() {
        let policy = RetryPolicy::within(Duration::from_secs(60)).denials_for(Duration::from_secs(3));
        let calls = AtomicU32::new(0);
        let passing = retry(&policy, || async {
            if calls.fetch_add(1, Ordering::Relaxed) < 2 { Err(Lost::now(Retry::Never)) } else { Ok(7) }
        });
        assert_eq!(passing.await.unwrap(), 7);
        let policy = policy.denials_for(Duration::from_millis(700));
        let ended = retry::<(), _, _, _>(&policy, || async { Err(Lost::now(Retry::Never)) }).await;
        let attempts = ended.unwrap_err().attempts;
        assert!(
            (2..=4).contains(&attempts.tries) && attempts.elapsed < Duration::from_secs(1),
            "{attempts:?}"
        );
    }

    #[tokio::test]
    async fn what_fails_in_passing_is_tried_again() {
        let policy = RetryPolicy::within(Duration::from_secs(60));
        let calls = AtomicU32::new(0);
        let answer = retry(&policy, || async {
            if calls.fetch_add(1, Ordering::Relaxed) < 3 { Err(Lost::now(Retry::Soon)) } else { Ok(7) }
        });
        assert_eq!(answer.await.unwrap(), 7);
        assert_eq!(calls.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn what_fails_for_good_is_not_tried_again() {
        let policy = RetryPolicy::within(Duration::from_secs(60));
        let calls = AtomicU32::new(0);
        let ended = retry::<(), _, _, _>(&policy, || async {
            calls.fetch_add(1, Ordering::Relaxed);
            Err(Lost::now(Retry::Never))
        });
        ended.await.unwrap_err();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_last_error_says_how_often_it_was_tried() {
        let policy = RetryPolicy::within(Duration::from_millis(700));
        let ended =
            retry::<(), _, _, _>(&policy, || async { Err(Lost::now(Retry::Soon)) }).await.unwrap_err();
        assert!((2..=4).contains(&ended.attempts.tries), "{ended:?}");
        assert!(ended.to_string().contains("attempts in"), "{ended}");
    }

    #[tokio::test]
    async fn a_peer_that_says_how_long_to_wait_is_obeyed() {
        let policy = RetryPolicy::within(Duration::from_secs(30));
        let throttled = || Lost { retry_after: Some(Duration::from_secs(60)), ..Lost::now(Retry::Soon) };
        let ended = retry::<(), _, _, _>(&policy, || async { Err(throttled()) }).await.unwrap_err();
        assert_eq!(ended.attempts.tries, 1, "asking before the minute is over is no use");
    }

    #[tokio::test]
    async fn a_wish_to_stop_ends_it_at_once() {
        let policy = RetryPolicy::within(Duration::from_secs(60));
        let asked = retry::<(), _, _, _>(&policy, || async {
            policy.cancellation.cancel();
            Err(Lost::now(Retry::Soon))
        });
        assert_eq!(asked.await.unwrap_err().attempts.tries, 1);
    }

    #[tokio::test]
    async fn a_clean_up_after_the_wish_to_stop_is_tried_again_for_a_moment() {
        let policy = RetryPolicy::within(Duration::from_secs(60));
        policy.cancellation.cancel();
        assert_eq!(policy.limit(), CLEAN_UP);
        let policy = RetryPolicy::within(Duration::from_millis(500)).cancelled_by(policy.cancellation);
        let ended =
            retry::<(), _, _, _>(&policy, || async { Err(Lost::now(Retry::Soon)) }).await.unwrap_err();
        assert!(ended.attempts.tries > 1, "{ended:?}");
    }

    #[tokio::test]
    async fn several_calls_share_one_deadline() {
        let deadline = Deadline::after(Duration::from_millis(300));
        let policy = RetryPolicy::until(deadline);
        retry::<(), _, _, _>(&policy, || async { Err(Lost::now(Retry::Soon)) }).await.unwrap_err();
        while deadline.pause(Duration::from_millis(50)).await {}
        let second =
            retry::<(), _, _, _>(&policy, || async { Err(Lost::now(Retry::Soon)) }).await.unwrap_err();
        assert_eq!(second.attempts.tries, 1);
    }
}
