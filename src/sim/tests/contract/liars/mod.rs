//! That the suites can fail: implementations that keep every promise but one, and the checks that catch them.

mod director;
mod disk_cloud;
mod objects;
mod server;

use std::collections::BTreeSet;
use std::fmt::Debug;

use futures_util::future::join_all;
use remount_sim::contract::Report;

/// Runs a suite on each liar: the check that its lie is about has to catch it, and no check may catch nobody.
async fn assert_caught<L: Copy + Debug>(liars: &[(L, &'static str)], suite: impl AsyncFn(L) -> Report) {
    let reports =
        join_all(liars.iter().map(|(liar, check)| async { (*liar, *check, suite(*liar).await) })).await;
    let (mut all, mut useful) = (BTreeSet::new(), BTreeSet::new());
    for (liar, check, report) in reports {
        assert!(report.broken().contains(&check), "`{check}` does not catch {liar:?}: {report}");
        all.extend(report.checks());
        useful.extend(report.broken());
    }
    let idle: Vec<_> = all.difference(&useful).collect();
    assert!(idle.is_empty(), "these checks catch no liar: {idle:?}");
}
