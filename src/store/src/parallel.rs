//! Reads of many objects at once, bounded.

use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};

use crate::Result;

/// Requests on their way at a time: enough to hide latency, too few to be throttled.
const AT_ONCE: usize = 16;

/// Reads all, and answers in their order; the first error ends it.
pub(crate) async fn in_parallel<T, F, Fut>(paths: Vec<String>, read: F) -> Result<Vec<T>>
where
    F: FnMut(String) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    iter(paths).map(read).buffered(AT_ONCE).try_collect().await
}
