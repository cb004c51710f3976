//! The `wal` block of `agent.json`.

use std::time::Duration;

use serde::Deserialize;

use super::Codec;

/// How WAL is pushed and fetched.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalConfig {
    /// How segments are compressed.
    pub codec: Codec,
    fetch_deadline_seconds: u64,
    push_deadline_seconds: u64,
}

impl WalConfig {
    /// How long a fetch may try.
    #[must_use]
    pub const fn fetch_deadline(&self) -> Duration {
        Duration::from_secs(self.fetch_deadline_seconds)
    }

    /// How long a push may try.
    #[must_use]
    pub const fn push_deadline(&self) -> Duration {
        Duration::from_secs(self.push_deadline_seconds)
    }
}
