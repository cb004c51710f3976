//! Restores under trial: begun, disturbed, ended by whatever it takes, and judged.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tokio::time::sleep;

use super::field::{Field, Looked, typed};
use super::model::Model;
use super::report::TrialEvent;
use super::target::Wanted;
use super::trial_fault::TrialFault;
use crate::scenarios::cluster::DEPLOYMENT;
use crate::scenarios::landscape::Ran;
use crate::scenarios::remount_process::RemountProcess;

/// No restore takes longer here.
const RESTORE_LIMIT: Duration = Duration::from_secs(400);
/// How often a restore that is stuck, or whose process died, is taken up again.
const TAKEN_UP: u32 = 8;
/// A dead process's lease ends within this time.
const LEASE_PAUSE: Duration = Duration::from_secs(4);
/// Exit codes: done, failed and nothing was changed, undone.
const DONE: i32 = 0;
const UNCHANGED: i32 = 1;
const UNDONE: i32 = 3;

/// How a restore ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It says that the cluster is restored.
    Restored,
    /// It says that nothing was changed, or that all is as it was.
    AsBefore,
    /// An operator had it rolled back.
    RolledBack,
}

/// What was before.
struct Before {
    timeline: u32,
    /// How many had been acknowledged.
    since: usize,
    restore: Option<String>,
}

/// A restore with its fault.
pub async fn restore(
    field: &mut Field,
    event: &mut TrialEvent,
    wanted: &Wanted,
    fault: &TrialFault,
) -> Result<()> {
    let before = Before {
        timeline: field.timeline,
        since: field.book.model(|model| model.count()),
        restore: field.newest_restore().await?,
    };
    let fixed = ["restore", "--now", "--deployment", DEPLOYMENT];
    let arguments: Vec<&str> = fixed.into_iter().chain(wanted.target.iter().map(String::as_str)).collect();
    event.what = format!("restore {}{}", wanted.target.join(" "), named(fault));
    event.commands.push(typed(&[&["remount", "--"], &arguments[..]].concat()));
    let ran = run_with(field, event, &arguments, fault, &before).await?;
    mend(field, event, fault).await?;
    let first = ran.code;
    let end = ended(field, event, &ran, &before).await?;
    if matches!(fault, TrialFault::None) && first != DONE {
        event.violations.push(format!("nothing went wrong, and it ended with {first}: {}", ran.text()));
    }
    event.outcome = format!("exit {first}, {end:?}");
    match end {
        None => Ok(()),
        // Whoever asks it to stop wants the old disks back, whatever was written meanwhile.
        Some(End::AsBefore) if matches!(fault, TrialFault::Abort(_)) => {
            judge(field, event, wanted, &before, End::RolledBack).await
        }
        Some(end) => judge(field, event, wanted, &before, end).await,
    }
}

fn named(fault: &TrialFault) -> String {
    match fault {
        TrialFault::None => String::new(),
        TrialFault::Kill(at) => format!(", killed after {:.1} s", at.as_secs_f64()),
        TrialFault::Abort(at) => format!(", aborted after {:.1} s", at.as_secs_f64()),
        TrialFault::Between { begin, at, .. } => {
            format!(", {} after {:.1} s", begin.join(" "), at.as_secs_f64())
        }
        TrialFault::Shell { instance, line, at, .. } => {
            let what = line.split_whitespace().next().unwrap_or_default();
            format!(", {what} on {instance} after {:.1} s", at.as_secs_f64())
        }
    }
}

/// Runs it, and lets the fault come in its time.
async fn run_with(
    field: &Field,
    event: &mut TrialEvent,
    arguments: &[&str],
    fault: &TrialFault,
    before: &Before,
) -> Result<Ran> {
    if let TrialFault::Shell { instance, line, at: Duration::ZERO, .. } = fault {
        field.lab(event, &["exec", instance, "--", "/bin/bash", "-c", line]).await?;
    }
    if let TrialFault::Between { begin, at: Duration::ZERO, .. } = fault {
        field.lab(event, &begin.iter().map(String::as_str).collect::<Vec<_>>()).await?.success()?;
    }
    let mut process = RemountProcess::start(&field.cluster.lab, arguments, false)?;
    let comes = async {
        match fault {
            TrialFault::Kill(at) => {
                sleep(*at).await;
                event.commands.push(format!("kill -9 $(pidof remount)  # after {at:?}"));
                // One that has ended by then is beyond harm.
                drop(process.signal(Signal::KILL));
            }
            TrialFault::Abort(at) => {
                sleep(*at).await;
                let newest = field.newest_restore().await?.filter(|id| Some(id) != before.restore.as_ref());
                if let Some(id) = newest {
                    field.remount(event, &["abort", &id]).await?;
                }
            }
            TrialFault::Between { begin, at, end, lasts } if *at > Duration::ZERO => {
                sleep(*at).await;
                field.lab(event, &begin.iter().map(String::as_str).collect::<Vec<_>>()).await?;
                sleep(*lasts).await;
                field.lab(event, &end.iter().map(String::as_str).collect::<Vec<_>>()).await?;
            }
            TrialFault::Shell { instance, line, at, .. } if *at > Duration::ZERO => {
                sleep(*at).await;
                field.lab(event, &["exec", instance, "--", "/bin/bash", "-c", line]).await?;
            }
            _ => {}
        }
        anyhow::Ok(())
    };
    comes.await?;
    process.end(RESTORE_LIMIT).await
}

/// Ends what a fault has begun.
async fn mend(field: &Field, event: &mut TrialEvent, fault: &TrialFault) -> Result<()> {
    match fault {
        TrialFault::Between { end, at: Duration::ZERO, .. } => {
            field.lab(event, &end.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        }
        TrialFault::Shell { instance, after: Some(line), .. } => {
            field.lab(event, &["exec", instance, "--", "/bin/bash", "-c", line]).await?;
        }
        _ => {}
    }
    Ok(())
}

/// How it ended. One that is stuck, or whose process died, is resumed or rolled back, as an operator would.
async fn ended(field: &mut Field, event: &mut TrialEvent, ran: &Ran, before: &Before) -> Result<Option<End>> {
    match ran.code {
        DONE => return Ok(Some(End::Restored)),
        UNCHANGED | UNDONE => return Ok(Some(End::AsBefore)),
        _ => {}
    }
    let newest = field.newest_restore().await?;
    let Some(id) = newest.filter(|id| Some(id) != before.restore.as_ref()) else {
        // It had not begun; its lease ends by itself.
        sleep(LEASE_PAUSE * 4).await;
        return Ok(Some(End::AsBefore));
    };
    let mut command = if field.dice.percent(50) { "resume" } else { "rollback" };
    let mut said = ran.text();
    for attempt in 0..TAKEN_UP {
        let ran = field.remount(event, &[command, &id]).await?;
        match (command, ran.code) {
            ("resume", DONE) => return Ok(Some(End::Restored)),
            ("resume", UNDONE) => return Ok(Some(End::AsBefore)),
            ("rollback", DONE) => return Ok(Some(End::RolledBack)),
            _ => {}
        }
        // What cannot go on is undone.
        command = if attempt >= TAKEN_UP / 2 { "rollback" } else { command };
        said = ran.text();
        sleep(LEASE_PAUSE).await;
    }
    event.violations.push(format!("restore {id} could be neither resumed nor rolled back: {said}"));
    Ok(None)
}

async fn judge(
    field: &mut Field,
    event: &mut TrialEvent,
    wanted: &Wanted,
    before: &Before,
    end: End,
) -> Result<()> {
    match end {
        End::Restored => is_restored(field, event, wanted, before).await,
        End::AsBefore => {
            let taken = field.book.model(|model| model.elsewhere(before.timeline, before.since));
            if taken > 0 {
                event.violations.push(format!(
                    "the restored server acknowledged {taken} transactions, and then it was given up"
                ));
            }
            field.as_before += 1;
            field.all_is_there(event).await
        }
        End::RolledBack => {
            field.as_before += 1;
            field.all_is_there(event).await
        }
    }
}

/// Exactly what was acknowledged up to the target, and what came after the promotion.
async fn is_restored(
    field: &mut Field,
    event: &mut TrialEvent,
    wanted: &Wanted,
    before: &Before,
) -> Result<()> {
    let (point, since, old) = (wanted.point.clone(), before.since, before.timeline);
    let content = move |model: &mut Model, timeline: u32| {
        let base = match &point {
            Some(point) => point.content.clone(),
            None => model.on(old).must,
        };
        model.restored(timeline, base, since);
        model.on(timeline)
    };
    let open = field.prepared.clone();
    let prepared = wanted.point.as_ref().map_or_else(|| open.clone(), |point| point.prepared.clone());
    let found = field.look(event, Looked { content: &content, prepared: &prepared }).await?;
    let Some(found) = found else { return Ok(()) };
    if found.timeline == old {
        event.violations.push(format!("it says it is restored, and is on its old timeline {old}"));
    }
    field.restored += 1;
    field.last_restore = field.newest_restore().await?.map(|id| (id, old, open));
    event.outcome =
        format!("{}, {} transactions, timeline {}", event.outcome, found.ids.len(), found.timeline);
    Ok(())
}

/// The cluster goes back to its old disks: everything that was acknowledged before the restore is there again.
pub async fn roll_back(field: &mut Field, event: &mut TrialEvent) -> Result<()> {
    let (id, old, prepared) = field.last_restore.take().context("there is no restore to roll back")?;
    event.what = format!("rollback of restore {id}");
    let began = Instant::now();
    let ran = field.remount(event, &["rollback", &id]).await?;
    ensure!(began.elapsed() < RESTORE_LIMIT, "the rollback took {:?}", began.elapsed());
    event.outcome = format!("exit {}", ran.code);
    if ran.code != DONE {
        event.violations.push(format!("the rollback failed: {}", ran.text()));
        return Ok(());
    }
    // What the restored server had is put aside with its disks.
    let given_up = field.timeline;
    field.points.retain(|point| point.timeline != given_up);
    (field.timeline, field.prepared) = (old, prepared);
    field.all_is_there(event).await
}
