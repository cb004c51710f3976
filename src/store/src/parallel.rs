//! Reads of many objects at once, bounded.

use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};

/// Requests on their way at a time: enough to hide latency, too few to be throttled.
const AT_ONCE: usize = 16;

/// Reads all, and answers in their order; the first error ends it.
///
/// # Errors
/// The first one of `read`.
pub async fn in_parallel<I, T, E, F, Fut>(items: Vec<I>, read: F) -> Result<Vec<T>, E>
where
    F: FnMut(I) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    iter(items).map(read).buffered(AT_ONCE).try_collect().await
}
