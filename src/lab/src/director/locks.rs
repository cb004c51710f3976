//! Locks: one row per lock, a bounded wait, and the Director's text for who holds it.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::error::{DirectorError, Result};
use super::ids::uuid;
use super::task_context::TaskContext;

/// A lock's row lives this long after it was taken or renewed.
const EXPIRATION_SECONDS: i64 = 241;
/// A holder renews its row this often.
const RENEWAL_SECONDS: i64 = 120;

/// Who holds a lock.
#[derive(Clone, Debug)]
pub(crate) struct LockRow {
    pub(crate) uid: String,
    pub(crate) task: u64,
    acquired_at: Timestamp,
}

impl LockRow {
    /// When the row expires if nobody renews it, as the API writes it.
    pub(crate) fn timeout(&self) -> String {
        let held = Timestamp::now().as_second() - self.acquired_at.as_second();
        let renewed = self.acquired_at.as_second() + held / RENEWAL_SECONDS * RENEWAL_SECONDS;
        let micros = self.acquired_at.subsec_microsecond();
        format!("{}.{micros:06}", renewed + EXPIRATION_SECONDS)
    }
}

/// Runs `work` while holding the deployment's lock.
pub(crate) fn with_deployment_lock<T>(
    cx: &TaskContext,
    deployment: &str,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    with_lock(cx, &format!("lock:deployment:{deployment}"), || {
        let delay = cx.director.write(|s| s.faults.delay_under_lock(cx.operation, &cx.about));
        cx.pause(delay)?;
        work()
    })
}

/// As [`with_deployment_lock`], for work that does not wait for the lock at all.
pub(crate) fn with_free_deployment_lock<T>(
    cx: &TaskContext,
    deployment: &str,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let name = format!("lock:deployment:{deployment}");
    let Ok(_held) = acquire(cx, &name, Duration::ZERO) else {
        let text = "Unable to get deployment lock, maybe a deployment is in progress. Try again later.";
        return Err(DirectorError::generic(text));
    };
    work()
}

/// Runs `work` while holding the VM's lock.
pub(crate) fn with_vm_lock<T>(
    cx: &TaskContext,
    vm: &remount_core::VmCid,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    with_lock(cx, &format!("lock:vm:{vm}"), work)
}

fn with_lock<T>(cx: &TaskContext, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let _held = acquire(cx, name, cx.director.config.lock_wait)?;
    work()
}

/// A lock that is held until it is dropped, whatever happens to the holder.
struct Held<'a> {
    cx: &'a TaskContext,
    name: &'a str,
    uid: String,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.cx.director.write(|state| {
            if state.locks.get(self.name).is_some_and(|row| row.uid == self.uid) {
                state.locks.remove(self.name);
            }
        });
    }
}

fn acquire<'a>(cx: &'a TaskContext, name: &'a str, wait: Duration) -> Result<Held<'a>> {
    let uid = uuid();
    let deadline = Instant::now() + wait;
    let mut state = cx.director.lock();
    loop {
        let Some(holder) = state.locks.get(name).map(|row| row.task) else {
            let row = LockRow { uid: uid.clone(), task: cx.id, acquired_at: Timestamp::now() };
            state.locks.insert(name.to_owned(), row);
            return Ok(Held { cx, name, uid });
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left == Duration::ZERO {
            let description =
                state.tasks.get(holder).map_or_else(|_| String::new(), |t| t.description.clone());
            return Err(DirectorError::generic(format!(
                "Failed to acquire lock for {name} uid: {uid}. Locking task id is {holder}, \
                 description: '{description}'"
            )));
        }
        state = cx.director.wait(state, left);
    }
}
