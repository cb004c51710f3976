//! The sign of life in the background.

use std::time::{Duration, Instant};

use log::warn;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{Error, Lease};

/// Beats in the background until it is dropped.
#[derive(Debug)]
pub struct Keeper {
    loss: watch::Receiver<Option<Loss>>,
    task: JoinHandle<()>,
}

/// Why a lease is lost.
#[derive(Clone, Debug)]
enum Loss {
    TakenOver { cluster: String, epoch: u64, taken_by: u64 },
    Silent { cluster: String, term: Duration, why: String },
}

impl Keeper {
    pub(crate) fn start(lease: Lease) -> Self {
        let (report, loss) = watch::channel(None);
        let task = tokio::spawn(async move {
            let lost = beat_until_lost(&lease).await;
            if matches!(lost, Loss::Silent { .. }) {
                lease.note_end();
            }
            let why = remount_core::with_causes(&Error::from(lost.clone()));
            warn!(cluster:% = lease.cluster(), epoch = lease.epoch(), why:%; "the lease is lost");
            report.send_replace(Some(lost));
        });
        Self { loss, task }
    }

    /// Whether the lease is lost: taken over, or not renewed for a whole term, so that another may
    /// have it.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.loss.borrow().is_some()
    }

    /// Waits until the lease is lost; why.
    pub async fn lost(&mut self) -> Error {
        let loss = self.loss.wait_for(Option::is_some).await.map(|loss| loss.clone());
        match loss {
            Ok(Some(loss)) => loss.into(),
            // The runtime ends, and the beats with it.
            Ok(None) | Err(_) => {
                let source = "its keeper has ended".into();
                Error::Unanswered { action: "keep the lease".into(), source }
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Beats three times per term. One beat may fail; a whole term without one is the loss of the
/// lease, because from then on another may hold it. The term is measured from before the call of the
/// last beat that worked, by a clock that does not jump.
async fn beat_until_lost(lease: &Lease) -> Loss {
    let mut last = Instant::now();
    let mut why = String::from("no beat was tried");
    loop {
        tokio::time::sleep(lease.term() / 3).await;
        let left = lease.term().saturating_sub(last.elapsed());
        if left.is_zero() {
            return Loss::Silent { cluster: lease.cluster().to_string(), term: lease.term(), why };
        }
        let begun = Instant::now();
        match tokio::time::timeout(left, lease.beat()).await {
            Ok(Ok(())) => last = begun,
            Ok(Err(Error::Fenced { cluster, epoch, taken_by })) => {
                return Loss::TakenOver { cluster, epoch, taken_by };
            }
            Ok(Err(error)) => why = remount_core::with_causes(&error),
            Err(_) => why = "the store did not answer in time".into(),
        }
    }
}

impl From<Loss> for Error {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::TakenOver { cluster, epoch, taken_by } => Self::Fenced { cluster, epoch, taken_by },
            Loss::Silent { cluster, term, why } => Self::Unanswered {
                action: format!("keep the lease of cluster {cluster} (no beat for {} s)", term.as_secs()),
                source: why.into(),
            },
        }
    }
}
