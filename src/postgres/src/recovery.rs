//! Where a recovery is, and its end: a restored primary replays to where its plan wants it and stays there, read-only,
//! until it is promoted.
//!
//! | state | seen by | what may follow |
//! |---|---|---|
//! | replaying | in recovery, and nothing of the below | all |
//! | at its target | paused, with the plan's target and settings that suffice | promotion; a later target and a restart |
//! | at the archive's end | no target, and neither archive nor disk has more | promotion |
//! | blocked | paused, with a setting below the backed-up primary's | a deploy that raises it |
//! | ended | out of recovery: it takes writes | nothing |
//!
//! # Source
//! PostgreSQL documentation, "Recovery Control Functions", "Recovery Target", "Hot Standby: Administrator's Overview"
//! (a standby pauses on insufficient settings), and the wait event `RecoveryRetrieveRetryInterval`.

use std::time::Duration;

use jiff::Timestamp;
use remount_core::{Lsn, RestoreTarget, TimelineId};
use remount_host::{Deadline, blocking};
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use crate::control_data::ControlData;
use crate::local::{database, database_error, get, lsn, one, timeline_hex};
use crate::recovery_settings::expected_target;
use crate::{Error, LocalServer, Result};

/// Leaving recovery takes a tenth of a second, and a checkpoint where it had to be resumed.
const PROMOTE_SECONDS: u64 = 30;
/// A fetch from the archive takes less, or the server is not at its end.
const SETTLE_SECONDS: u64 = 3;
const PAUSE: Duration = Duration::from_millis(20);

/// Where a server's recovery is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Recovery {
    /// It goes on; a standby's always does.
    Replaying {
        /// Replayed up to here.
        lsn: Lsn,
    },
    /// It stands where its plan told it to stop.
    AtTarget {
        /// Replayed up to here.
        lsn: Lsn,
        /// When the last transaction that it replayed was committed.
        last_commit: Option<Timestamp>,
    },
    /// Its plan has no target, and there is no more WAL.
    AtEnd {
        /// Replayed up to here.
        lsn: Lsn,
        /// When the last transaction that it replayed was committed.
        last_commit: Option<Timestamp>,
    },
    /// PostgreSQL goes no further with these settings.
    Blocked {
        /// Replayed up to here.
        lsn: Lsn,
        /// Which settings are too low.
        why: String,
    },
    /// It is over: the server takes writes.
    Ended,
}

impl Recovery {
    /// Where replay is; none where it is over.
    #[must_use]
    pub const fn lsn(&self) -> Option<Lsn> {
        match self {
            Self::Replaying { lsn }
            | Self::AtTarget { lsn, .. }
            | Self::AtEnd { lsn, .. }
            | Self::Blocked { lsn, .. } => Some(*lsn),
            Self::Ended => None,
        }
    }

    /// Where it has come to where its plan wants it, and waits there to be promoted.
    #[must_use]
    pub const fn arrived(&self) -> Option<Lsn> {
        match self {
            Self::AtTarget { lsn, .. } | Self::AtEnd { lsn, .. } => Some(*lsn),
            _ => None,
        }
    }
}

impl std::fmt::Display for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Replaying { lsn } => write!(f, "still replaying, at {lsn}"),
            Self::AtTarget { lsn, .. } => write!(f, "at its target, at {lsn}"),
            Self::AtEnd { lsn, .. } => write!(f, "at the end of the archive, at {lsn}"),
            Self::Blocked { lsn, why } => write!(f, "not replaying any more, at {lsn}: {why}"),
            Self::Ended => f.write_str("out of recovery"),
        }
    }
}

/// What was verified of a restored primary: this state may be promoted, and no other.
///
/// The position is compared exactly. A server at its target is paused: nothing moves it but a hand or a restart, and a
/// restart replays the same records to the same one. At the end of the archive nothing is paused; what arrives there
/// after the look (an old primary that still pushes) is replayed, and nobody has looked at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifiedPosition {
    /// The timeline that its recovery was told to follow.
    pub timeline: TimelineId,
    /// Replayed up to here.
    pub replayed_to: Lsn,
}

impl VerifiedPosition {
    /// Looks whether the server is where it was verified.
    ///
    /// # Errors
    /// [`Error::NotVerified`].
    pub fn must_be(&self, found: &Self) -> Result<()> {
        if self == found {
            return Ok(());
        }
        Err(Error::NotVerified(format!("the server stands at {found}, {self} was verified")))
    }
}

impl std::fmt::Display for VerifiedPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of timeline {}", self.replayed_to, self.timeline)
    }
}

/// A restored primary left recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promoted {
    /// The timeline that it began.
    pub timeline: TimelineId,
    /// Where replay stopped; none where its history file does not say so any more.
    pub replayed_to: Option<Lsn>,
}

/// `RecoveryRetrieveRetryInterval`: archive and `pg_wal` were asked and have nothing, it waits before it asks again.
const STATE: &str = "
    SELECT pg_is_in_recovery(),
           CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() = 'paused' ELSE false END,
           EXISTS (SELECT FROM pg_stat_activity
                    WHERE backend_type = 'startup' AND wait_event = 'RecoveryRetrieveRetryInterval')";

const POSITION: &str = "
    SELECT coalesce(pg_last_wal_replay_lsn(), '0/0')::text,
           (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint";

impl LocalServer {
    /// Where its recovery is. Without a plan's target that it is to stand at it is only told whether it is over.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn recovery(&self, target: Option<&RestoreTarget>) -> Result<Recovery> {
        let client = self.connect().await?;
        self.recovery_by(&client, target).await
    }

    pub(crate) async fn recovery_by(
        &self,
        client: &Client,
        target: Option<&RestoreTarget>,
    ) -> Result<Recovery> {
        let row = one(client, "ask for the recovery", STATE).await?;
        if !get::<bool>(&row, 0)? {
            return Ok(Recovery::Ended);
        }
        let (paused, at_end) = (get::<bool>(&row, 1)?, get::<bool>(&row, 2)?);
        // Only now: what stands by then does not move between the two looks, and the position is where it stands.
        let row = one(client, "ask for the position", POSITION).await?;
        let lsn = lsn(&row, 0)?;
        let Some(target) = target else { return Ok(Recovery::Replaying { lsn }) };
        let last_commit = get::<Option<i64>>(&row, 1)?;
        let last_commit = last_commit.map(Timestamp::from_microsecond).transpose().map_err(database_error)?;
        if paused && let Some(why) = self.insufficient(client).await? {
            return Ok(Recovery::Blocked { lsn, why });
        }
        if !has_target(client, target).await? {
            return Ok(Recovery::Replaying { lsn }); // It was told another target since it started.
        }
        let has_end = matches!(target.target, remount_core::RecoveryTarget::Latest);
        Ok(match (has_end, paused, at_end) {
            (false, true, _) => Recovery::AtTarget { lsn, last_commit },
            (true, false, true) => Recovery::AtEnd { lsn, last_commit },
            _ => Recovery::Replaying { lsn },
        })
    }

    /// Whether the running server has this target, and no other.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn runs_to(&self, target: &RestoreTarget) -> Result<bool> {
        let client = self.connect().await?;
        has_target(&client, target).await
    }

    /// Ends the recovery of a server that has come to where its plan wants it, and stands where it was verified. From
    /// then on it takes writes.
    ///
    /// # Errors
    /// [`Error::NotVerified`]: it stands elsewhere, or has left recovery elsewhere. [`Error::Database`]: it is not there,
    /// or has not left recovery in time; ask again.
    ///
    /// # Idempotence
    /// A recovery that is over answers as when it ended.
    pub async fn promote(&self, target: &RestoreTarget, verified: &VerifiedPosition) -> Result<Promoted> {
        const ACTION: &str = "promote the server";
        let deadline = Deadline::after_seconds(PROMOTE_SECONDS);
        let client = self.connect().await?;
        let (lsn, end) = match self.settled(&client, target).await? {
            Recovery::Ended => return self.promoted(verified).await,
            // `pg_promote` alone would be seen up to a second late: a paused recovery looks for it once a second.
            Recovery::AtTarget { lsn, .. } => (lsn, "SELECT pg_wal_replay_resume()"),
            Recovery::AtEnd { lsn, .. } => (lsn, "SELECT pg_promote(false)"),
            state => return Err(Error::Database { action: ACTION.into(), detail: format!("it is {state}") }),
        };
        must_be_verified(&client, verified, lsn).await?;
        client.batch_execute(end).await.map_err(database(ACTION))?;
        while self.in_recovery().await? {
            if !deadline.pause(PAUSE).await {
                let detail = format!("it has not left recovery within {PROMOTE_SECONDS} s");
                return Err(Error::Database { action: ACTION.into(), detail });
            }
        }
        self.promoted(verified).await
    }

    /// At the end of the archive a server asks it again every few seconds, and for that moment it is not seen to wait.
    async fn settled(&self, client: &Client, target: &RestoreTarget) -> Result<Recovery> {
        let deadline = Deadline::after_seconds(SETTLE_SECONDS);
        loop {
            let state = self.recovery_by(client, Some(target)).await?;
            if !matches!(state, Recovery::Replaying { .. }) || !deadline.pause(PAUSE).await {
                return Ok(state);
            }
        }
    }

    /// The control file tells the new timeline only after the next checkpoint: the current WAL file's name has it.
    ///
    /// Compared once more: PostgreSQL asks the archive a last time before it leaves recovery, and an earlier call may
    /// have been another's.
    async fn promoted(&self, verified: &VerifiedPosition) -> Result<Promoted> {
        let client = self.connect().await?;
        let query = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
        let row = one(&client, "ask for the new timeline", query).await?;
        let timeline = timeline_hex(&get::<String>(&row, 0)?)?;
        let replayed_to = self.replayed_to(timeline)?;
        if let Some(lsn) = replayed_to {
            must_be_verified(&client, verified, lsn).await?;
        }
        Ok(Promoted { timeline, replayed_to })
    }

    /// Which settings are below those of the primary whose WAL is replayed: PostgreSQL pauses on them, and a pause on
    /// them is none at the target. None where all suffice.
    async fn insufficient(&self, client: &Client) -> Result<Option<String>> {
        const ACTION: &str = "read the control file";
        let data_directory = self.config().data_directory.clone();
        let lost = |error| Error::Database {
            action: ACTION.into(),
            detail: format!("the look at it failed: {}", remount_core::with_causes(&error)),
        };
        let read = blocking(move || ControlData::read(&data_directory), lost).await;
        // The server rewrites it in place: a look that finds it torn is repeated.
        let failed = |error: Error| Error::Database {
            action: ACTION.into(),
            detail: remount_core::with_causes(&error),
        };
        let needed = read.map_err(failed)?.demands;
        let mut low = Vec::new();
        for (setting, needs) in needed.each() {
            let query = format!("SELECT current_setting('{setting}')");
            let row = one(client, "ask for the settings", &query).await?;
            let has = get::<String>(&row, 0)?;
            if has.parse::<u32>().map_err(database_error)? < needs {
                low.push(format!("{setting} is {has} and has to be at least {needs}"));
            }
        }
        Ok((!low.is_empty()).then(|| low.join(", ")))
    }
}

/// The timeline is the running server's setting, which is the line that it has replayed, in recovery and after it: what
/// the control file says of it lags behind.
async fn must_be_verified(client: &Client, verified: &VerifiedPosition, replayed_to: Lsn) -> Result<()> {
    let query = "SELECT current_setting('recovery_target_timeline')";
    let followed = get::<String>(&one(client, "ask for the target", query).await?, 0)?;
    let Ok(timeline) = followed.parse() else {
        let detail = format!("the server follows timeline `{followed}`, {verified} was verified");
        return Err(Error::NotVerified(detail));
    };
    verified.must_be(&VerifiedPosition { timeline, replayed_to })
}

async fn has_target(client: &Client, target: &RestoreTarget) -> Result<bool> {
    for (name, expected) in expected_target(target) {
        let row = one(client, "ask for the target", &format!("SELECT current_setting('{name}')")).await?;
        if get::<String>(&row, 0)? != expected {
            return Ok(false);
        }
    }
    Ok(true)
}
