//! What steps leave for those after them: written to the journal with the step's outcome, so that a process that
//! goes on has it too.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remount_core::documents::{JournalEvent, What};
use serde_json::Value;

use crate::{Context, SagaError as _, Step, StepName as _};

/// The outputs of the steps that are done.
#[derive(Debug, Default)]
pub struct StepOutputs(Mutex<BTreeMap<String, Value>>);

impl StepOutputs {
    /// Those that a journal has.
    #[must_use]
    pub fn of_journal(events: &[JournalEvent]) -> Self {
        let done = events.iter().filter_map(|event| match &event.what {
            What::Done { step, output, .. } => Some((step.clone(), output.clone())),
            _ => None,
        });
        Self(Mutex::new(done.collect()))
    }

    /// What a step left; none where it is not done.
    ///
    /// # Errors
    /// The journal has something else for it: another version of Remount wrote it.
    pub fn get<C: Context, S: Step<C>>(&self) -> Result<Option<S::Output>, C::Error> {
        let Some(output) = self.lock().get(S::NAME.as_str()).cloned() else {
            return Ok(None);
        };
        serde_json::from_value(output).map(Some).map_err(|error| C::Error::output(S::NAME.as_str(), &error))
    }

    pub(crate) fn set(&self, step: &str, output: Value) {
        self.lock().insert(step.to_owned(), output);
    }

    /// Nothing that holds the lock can panic midway and leave it half written.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
