//! The ledger outside of the database: a file, synced line by line, of what was sent and what was acknowledged.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::Serialize;

use super::model::{Acknowledged, Id, Model};

/// A line of the file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line<'a> {
    /// A transaction is about to be sent.
    Sent { id: Id },
    /// Its commit was answered; where it is, by the server that answered.
    Acknowledged { id: Id, timeline: u32, lsn: &'a str, xid: &'a str, at: &'a str },
    /// No answer came: it may be there, or not.
    Unanswered { id: Id },
    /// What the trial did.
    Act { n: usize, what: &'a str },
}

/// The ledger.
#[derive(Debug)]
pub struct Book {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    model: Model,
    next: Id,
}

impl Book {
    pub fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("open the ledger {}", path.display()))?;
        Ok(Self { inner: Mutex::new(Inner { file, model: Model::default(), next: 1 }) })
    }

    /// Writes a line and waits until it is on the disk.
    pub fn write(&self, line: &Line<'_>) -> Result<()> {
        let mut inner = self.lock();
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        inner.file.write_all(text.as_bytes()).context("write to the ledger")?;
        inner.file.sync_data().context("sync the ledger")?;
        match *line {
            Line::Acknowledged { id, timeline, .. } => {
                inner.model.acknowledge(Acknowledged { id, timeline });
            }
            Line::Unanswered { id } => inner.model.unanswered(id),
            Line::Sent { .. } | Line::Act { .. } => {}
        }
        Ok(())
    }

    /// A number that was never used.
    pub fn next(&self) -> Id {
        let mut inner = self.lock();
        inner.next += 1;
        inner.next - 1
    }

    /// Asks the model, or tells it something.
    pub fn model<T>(&self, ask: impl FnOnce(&mut Model) -> T) -> T {
        ask(&mut self.lock().model)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
