//! `remount resume`, `rollback` and `abort`, and `remount restore accept`, `forward` and `give-up`: for a restore that was
//! begun.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use remount_core::documents::OnFailure;
use remount_core::{RestoreId, RestoreTarget};
use remount_flow::{
    AbortPoint, abort_restore, accept_restore, forward_restore, give_up_restore, resume_restore,
    rollback_restore,
};
use remount_store::LeaseHolder;

use super::restore::print_report;
use super::{Output, cluster_with};
use crate::arguments::BegunRestore;
use crate::config::Config;
use crate::context;
use crate::failure::Failure;
use crate::output::message;
use crate::progress::Steps;

/// Continues a restore whose driver died, or that is held or stuck.
pub async fn resume(
    config: &Config,
    begun: &BegunRestore,
    on_failure: OnFailure,
    output: Output,
) -> Result<(), Failure> {
    let context = context::open(config)?;
    let BegunRestore { restore: id, cluster } = begun;
    let cluster = cluster_with(&context.store, id, cluster).await?;
    let report = resume_restore(&context, cluster.name(), id, on_failure, &Steps::on_stderr()).await?;
    print_report(&report, output)
}

/// Rolls a restore back.
pub async fn roll_back(config: &Config, begun: &BegunRestore) -> Result<(), Failure> {
    let context = context::open(config)?;
    let BegunRestore { restore: id, cluster } = begun;
    let cluster = cluster_with(&context.store, id, cluster).await?;
    rollback_restore(&context, cluster.name(), id, &Steps::on_stderr()).await?;
    message!("restore {id} was rolled back: cluster {} is as it was", cluster.name());
    Ok(())
}

/// Goes on with a paused restore: users can write from then on.
pub async fn accept(config: &Config, begun: &BegunRestore, output: Output) -> Result<(), Failure> {
    let context = context::open(config)?;
    let BegunRestore { restore: id, cluster } = begun;
    let cluster = cluster_with(&context.store, id, cluster).await?;
    print_report(&accept_restore(&context, cluster.name(), id, &Steps::on_stderr()).await?, output)
}

/// Moves the target of a paused restore forward.
pub async fn forward(
    config: &Config,
    begun: &BegunRestore,
    target: RestoreTarget,
    output: Output,
) -> Result<(), Failure> {
    let context = context::open(config)?;
    let BegunRestore { restore: id, cluster } = begun;
    let cluster = cluster_with(&context.store, id, cluster).await?;
    print_report(&forward_restore(&context, cluster.name(), id, target, &Steps::on_stderr()).await?, output)
}

/// Puts the old disks of a paused restore back.
pub async fn give_up(config: &Config, begun: &BegunRestore) -> Result<(), Failure> {
    let context = context::open(config)?;
    let BegunRestore { restore: id, cluster } = begun;
    let cluster = cluster_with(&context.store, id, cluster).await?;
    give_up_restore(&context, cluster.name(), id, &Steps::on_stderr()).await?;
    message!("restore {id} was given up: cluster {} is as it was", cluster.name());
    Ok(())
}

/// Asks the process that restores to roll back before its next step.
pub async fn abort(config: &Config, begun: &BegunRestore) -> Result<(), Failure> {
    let BegunRestore { restore: id, cluster } = begun;
    let cluster = cluster_with(&context::open_store(config)?, id, cluster).await?;
    let by = context::requester();
    let (point, driver) = abort_restore(&cluster, id, &by).await?;
    message!("{}", asked_to_abort(id, point, &driver));
    Ok(())
}

/// What a dead process is asked it does not do: who waits for it has to know until when.
fn asked_to_abort(id: &RestoreId, point: AbortPoint, driver: &LeaseHolder) -> String {
    let AbortPoint { running, before } = point;
    let first = running.map(|step| format!("finish step `{step}`, then to ")).unwrap_or_default();
    format!(
        "restore {id}: {} is asked to {first}roll it back before step `{before}`\n next: follow it with `remount journal {id}`; if \
         that process is dead (its last sign of life: {}), nothing is done until you run `remount resume {id}`, after {}",
        driver.owner,
        second(driver.last_beat),
        second(driver.ends_at)
    )
}

/// A time as people write it; rounded up.
fn second(time: Timestamp) -> String {
    let up = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil);
    time.round(up).unwrap_or(time).to_string()
}
