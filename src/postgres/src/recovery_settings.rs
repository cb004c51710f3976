//! The settings with which PostgreSQL recovers to where a plan wants it.

use remount_core::documents::{ForkRecord, RestorePlan};
use remount_core::{RecoveryTarget, RestoreTarget, TimelineId};

/// What a data directory is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryGoal<'a> {
    /// Replay to the plan's target and stay in recovery there, read-only: the driver promotes when it has looked.
    Reach,
    /// Follow the restored primary on the timeline that it began.
    Follow(&'a ForkRecord),
}

/// Settings for one recovery; they override the job's configuration file.
///
/// # Source
/// PostgreSQL documentation, sections "Archive Recovery", "Recovery Target" and "Error Handling"
/// (`recovery_init_sync_method`, since 14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoverySettings {
    values: Vec<(&'static str, String)>,
}

impl RecoverySettings {
    /// The settings for a part in `plan`. The timeline is always named by its number: `latest` would
    /// follow whatever the archive shows at that moment.
    #[must_use]
    pub fn of(plan: &RestorePlan, goal: RecoveryGoal<'_>, restore_command: &str) -> Self {
        // By default every file is opened and synced first, which takes longer the more data there is.
        let mut values = vec![
            ("restore_command", restore_command.to_owned()),
            ("recovery_init_sync_method", "syncfs".to_owned()),
            // Whoever waits for the recovery asks the server for it; without it PostgreSQL does not stop at a target either.
            ("hot_standby", "on".to_owned()),
        ];
        match goal {
            RecoveryGoal::Reach => {
                values.push(timeline(plan.path.history.timeline));
                values.extend(stop(&plan.target));
                // Nobody may write before the driver has looked: the server stays where it was told to stop.
                values.push(("recovery_target_action", "pause".into()));
                values.push(("primary_conninfo", String::new()));
                // A client that reads meanwhile must not hold up replay.
                values.push(("max_standby_archive_delay", "0".into()));
                // The standbys are not there yet: with their names set the first commit would wait for ever.
                values.push(("synchronous_standby_names", String::new()));
            }
            RecoveryGoal::Follow(fork) => values.push(timeline(fork.timeline)),
        }
        Self { values }
    }

    /// As lines of a configuration file.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.values.iter().map(|(name, value)| format!("{name} = {}", quoted(value))).collect()
    }
}

fn timeline(timeline: TimelineId) -> (&'static str, String) {
    ("recovery_target_timeline", timeline.to_string())
}

/// What the running server has to have as its target, setting by setting: [`stop`] and what is left empty.
pub(crate) fn expected_target(target: &RestoreTarget) -> Vec<(&'static str, String)> {
    const TARGETS: [&str; 5] = [
        "recovery_target",
        "recovery_target_lsn",
        "recovery_target_name",
        "recovery_target_time",
        "recovery_target_xid",
    ];
    let set = stop(target);
    let of = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let inclusive = of("recovery_target_inclusive").unwrap_or_else(|| "on".into());
    let targets = TARGETS.map(|name| (name, of(name).unwrap_or_default()));
    targets.into_iter().chain([("recovery_target_inclusive", inclusive)]).collect()
}

/// At most one target: PostgreSQL refuses two.
fn stop(target: &RestoreTarget) -> Vec<(&'static str, String)> {
    let (setting, takes_exclusive) = match &target.target {
        RecoveryTarget::Latest => return Vec::new(),
        RecoveryTarget::Time(time) => {
            // Microseconds are all that PostgreSQL keeps; the offset makes it independent of `timezone`.
            (("recovery_target_time", time.strftime("%Y-%m-%d %H:%M:%S.%6f+00").to_string()), true)
        }
        RecoveryTarget::Lsn(lsn) => (("recovery_target_lsn", lsn.to_string()), true),
        RecoveryTarget::Xid(xid) => (("recovery_target_xid", xid.to_string()), true),
        RecoveryTarget::Name(name) => (("recovery_target_name", name.clone()), false),
        RecoveryTarget::Backup(_) => (("recovery_target", "immediate".into()), false),
    };
    let exclusive = takes_exclusive && target.exclusive;
    let exclusive = exclusive.then(|| ("recovery_target_inclusive", "off".to_owned()));
    [setting].into_iter().chain(exclusive).collect()
}

/// A line break would end the setting; PostgreSQL has no way to write one here.
fn quoted(value: &str) -> String {
    let plain: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("'{}'", plain.replace('\\', "\\\\").replace('\'', "''"))
}
