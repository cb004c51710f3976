//! `remount restore`: request it, plan it, run it.

use remount_flow::{RestoreReport, run_restore};

use super::table::duration;
use super::{Output, plan, print_json, requests, started};
use crate::arguments::{RestoreArguments, RestoreCommand, RestoreOptions};
use crate::config::Config;
use crate::context;
use crate::failure::Failure;
use crate::output::{message, output};
use crate::progress::Steps;

/// Does what the arguments ask.
pub async fn run(config: &Config, arguments: RestoreArguments, output: Output) -> Result<(), Failure> {
    let RestoreArguments { how, options, now } = arguments;
    match how {
        Some(RestoreCommand::Request(options) | RestoreCommand::Run(options)) if options.dry_run => {
            plan::run(config, &options, output).await
        }
        Some(RestoreCommand::Request(options)) => requests::store(config, &options, output).await,
        Some(RestoreCommand::Run(options)) => carry_out(config, &options, output).await,
        Some(RestoreCommand::Accept(restore)) => started::accept(config, &restore, output).await,
        Some(RestoreCommand::Forward { restore, target }) => {
            started::forward(config, &restore, target.target()?, output).await
        }
        Some(RestoreCommand::GiveUp(restore)) => started::give_up(config, &restore).await,
        None if options.dry_run => plan::run(config, &options, output).await,
        None if now => carry_out(config, &options, output).await,
        None => Err(Failure::usage(
            "`remount restore` needs a subcommand or --now",
            "`remount restore request …` and then `bosh run-errand restore`; or --now to run it in this process; or --dry-run to plan it only",
        )),
    }
}

async fn carry_out(config: &Config, options: &RestoreOptions, output: Output) -> Result<(), Failure> {
    let request = requests::from(options)?;
    requests::refuse_own(config, &request.deployment)?;
    let context = context::open(config)?;
    message!("restore {}: {} to {}", request.id, request.deployment, request.target);
    let on_failure = request.on_failure;
    let report = run_restore(&context, request, on_failure, &Steps::on_stderr()).await?;
    print_report(&report, output)
}

/// Prints the report of a restore.
pub fn print_report(report: &RestoreReport, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print_json(report);
    }
    match &report.paused {
        Some(next) => output!("{}", paused(report, next)),
        None => output!("{}", description(report)),
    }
    Ok(())
}

/// Where a paused restore stands, and what its reader can do.
fn paused(report: &RestoreReport, next: &[String]) -> String {
    let at = report.replayed_to.map(|lsn| format!(" at {lsn}")).unwrap_or_default();
    let commit =
        report.last_commit.map(|time| format!(", its last transaction committed {time}")).unwrap_or_default();
    let mut lines = vec![format!(
        "restore {} is paused: {} stands at {}{at}{commit}, in recovery; nobody can write",
        report.restore, report.plan.cluster, report.plan.target
    )];
    lines.extend(report.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.extend(next.iter().map(|line| format!(" next: {line}")));
    lines.join("\n")
}

/// The report, as text.
fn description(report: &RestoreReport) -> String {
    let plan = &report.plan;
    let replayed = report.replayed_to.map(|lsn| format!(", replayed to {lsn}")).unwrap_or_default();
    let mut lines = vec![
        format!("restored {} to {}", plan.cluster, plan.target),
        format!("it is on timeline {}{replayed}", report.new_timeline),
        String::new(),
        format!("{:<18} {:>9} {:>9} {:>9}", "STEP", "SECONDS", "DIRECTOR", "POSTGRES"),
    ];
    lines.extend(report.steps.iter().map(|step| {
        let (all, director, postgres) = (step.seconds, step.director_seconds, step.postgres_seconds);
        format!("{:<18} {all:>9.2} {director:>9.2} {postgres:>9.2}", step.name)
    }));
    lines.push(String::new());
    lines.push(format!("downtime {}", downtime(report)));
    lines.extend(report.old_disks.iter().map(|(instance, disk)| format!("old disk of {instance}: {disk}")));
    lines.extend(report.backup.iter().map(|backup| format!("backup of the restored cluster: {backup}")));
    lines.extend(report.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}

/// How long nothing served, and where the time went.
pub fn downtime(report: &RestoreReport) -> String {
    let split = &report.downtime;
    let idle = match split.idle_seconds {
        0.0 => String::new(),
        seconds => format!(", of which {seconds:.2} s no process worked on it"),
    };
    format!(
        "{:.2} s{idle} (estimated {}): Director {:.2} s, PostgreSQL {:.2} s, Remount {:.2} s",
        report.downtime_seconds,
        duration(report.estimate_seconds),
        split.director_seconds,
        split.postgres_seconds,
        split.remount_seconds
    )
}
