//! What the proxy did: a record per request, kept for tests and written as a line of JSON.
//!
//! Headers, queries and bodies hold secrets: none of them is ever noted.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::error::ProxyError;

/// So many records are kept in memory, the newest; the file has them all.
const KEPT_RECORDS: usize = 100_000;

/// One request and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Served {
    /// In the order of arrival, from 1. Records are noted when the upstream has answered: not in this order.
    pub number: u64,
    /// The method.
    pub method: String,
    /// The path, without query.
    pub path: String,
    /// The rule that acted, from 1.
    pub rule: Option<usize>,
    /// The fault of that rule.
    pub fault: Option<&'static str>,
    /// What the upstream answered; none where it was not asked or did not answer. Of two answers the second.
    pub upstream_status: Option<u16>,
    /// What went wrong without the script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The records of one proxy.
#[derive(Debug)]
pub(crate) struct Journal {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    records: VecDeque<Served>,
    file: Option<File>,
}

impl Journal {
    /// Opens the log, if there is to be one; lines are appended.
    pub(crate) fn open(log: Option<&Path>) -> Result<Self, ProxyError> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.map_err(ProxyError::file("log", path))
        };
        let file = log.map(open).transpose()?;
        Ok(Self { inner: Mutex::new(Inner { records: VecDeque::new(), file }) })
    }

    /// Notes a request. A log that cannot be written is given up: the proxy goes on.
    pub(crate) fn note(&self, served: Served) {
        let mut inner = self.lock();
        if let Some(file) = &mut inner.file
            && let Err(error) = write_line(file, &served)
        {
            log::error!(error:%; "the proxy's log cannot be written any more; is its disk full?");
            inner.file = None;
        }
        if inner.records.len() == KEPT_RECORDS {
            inner.records.pop_front();
        }
        inner.records.push_back(served);
    }

    /// The records, by number.
    pub(crate) fn records(&self) -> Vec<Served> {
        let mut records: Vec<_> = self.lock().records.iter().cloned().collect();
        records.sort_by_key(|served| served.number);
        records
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One write per line, so that readers never see half of one.
fn write_line(file: &mut File, served: &Served) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(served)?;
    line.push(b'\n');
    file.write_all(&line)
}
