//! What an operator reads of a restore that succeeds, is resumed, rolls back, or is stuck: progress, error, next
//! step and journal, compared with `transcripts/*.out`. `UPDATE=1 cargo nextest run -p remount-flow` writes them.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

use crate::support::Workbench;
use remount_core::documents::{OnFailure, RestoreRequest};
use remount_flow::{
    FlowError, Progress, ProgressEvent, ProgressKind, RestoreReport, resume_restore, run_restore,
};
use remount_sim::memory::{DeathAt, Fault, Rule, Written};

/// What was printed so far.
#[derive(Default)]
struct Transcript(Mutex<String>);

impl Progress for Transcript {
    /// Without the beginnings, which carry nothing, and without times.
    fn event(&self, event: &ProgressEvent) {
        if event.kind != ProgressKind::Begun {
            self.line(&ProgressEvent { seconds: 0.0, ..event.clone() }.to_string());
        }
    }
}

impl Transcript {
    fn line(&self, line: &str) {
        writeln!(self.0.lock().unwrap(), "{line}").unwrap();
    }

    fn end(&self, outcome: Result<RestoreReport, FlowError>) {
        match outcome {
            Ok(report) => {
                self.line(&format!("restored: timeline {}", report.new_timeline));
                report.warnings.iter().for_each(|warning| self.line(&format!("warning: {warning}")));
            }
            Err(error) => {
                self.line(&remount_core::report(&error));
                self.line(&format!("exit code {}", error.exit_code() as u8));
            }
        }
    }

    /// The journal, then all of it against the file.
    async fn finish(self, name: &str, bench: &Workbench, request: &RestoreRequest) {
        self.line("\njournal");
        let cluster = bench.ctx.store.cluster(bench.landscape.cluster());
        for event in cluster.journal(&request.id).await.unwrap() {
            let step = event.what.step().unwrap_or_default();
            self.line(format!("{:>3} {:<13} {step}", event.n, event.what.name()).trim_end());
        }
        let text = without_ids(&self.0.into_inner().unwrap(), &request.id.to_string());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flows/transcripts").join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, expected, "{} differs; UPDATE=1 writes it", path.display());
    }
}

/// Ids and times change from run to run.
fn without_ids(text: &str, restore: &str) -> String {
    let words = text.replace(restore, "RESTORE");
    let mut lines = Vec::new();
    for line in words.lines() {
        let word = |word: &str| {
            let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            let is_id = bare.len() == 21 && bare.as_bytes()[8] == b'T' && bare.as_bytes()[16] == b'-';
            if is_id { word.replace(bare, "BACKUP") } else { word.to_owned() }
        };
        lines.push(line.split(' ').map(word).collect::<Vec<_>>().join(" "));
    }
    lines.join("\n") + "\n"
}

async fn restore(bench: &Workbench, request: &RestoreRequest, transcript: &Transcript) {
    let outcome = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, transcript).await;
    transcript.end(outcome);
}

#[tokio::test]
async fn a_restore_that_succeeds() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let request = bench.request(target);
    let transcript = Transcript::default();
    restore(&bench, &request, &transcript).await;
    bench.assert_restored(&wanted).await;
    transcript.finish("succeeds.out", &bench, &request).await;
}

#[tokio::test]
async fn a_restore_whose_process_dies_and_that_is_resumed() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let request = bench.request(target);
    let transcript = Transcript::default();
    bench.crashing.die_at(DeathAt::Before(Written("swap_primary", "done")));
    let killed = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &transcript);
    assert!(bench.crashing.drive(killed).await.is_none(), "it is killed on its way");
    bench.crashing.heal();
    bench.lease_ends();
    transcript.line("\n(the process is killed)\n$ remount resume RESTORE");
    let cluster = bench.landscape.cluster();
    let outcome = resume_restore(&bench.ctx, cluster, &request.id, OnFailure::Rollback, &transcript).await;
    transcript.end(outcome);
    bench.assert_restored(&wanted).await;
    transcript.finish("is_resumed.out", &bench, &request).await;
}

#[tokio::test]
async fn a_restore_that_rolls_back() {
    let mut bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    bench.retry_within(std::time::Duration::from_millis(50));
    let old = bench.old_state();
    let primary = bench.landscape.slug(0);
    bench.landscape.inject(Rule::once("director.attach", Fault::HalfTask).about(&primary).times(2));
    let request = bench.request(target);
    let transcript = Transcript::default();
    restore(&bench, &request, &transcript).await;
    bench.assert_undone(&old).await;
    transcript.finish("rolls_back.out", &bench, &request).await;
}

#[tokio::test]
async fn a_restore_that_is_stuck() {
    let mut bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    bench.retry_within(std::time::Duration::from_millis(50));
    let primary = bench.landscape.slug(0);
    // The new disk cannot be attached, nor can the old one: neither forward nor back.
    bench.landscape.inject(Rule::once("director.attach", Fault::FailTask).about(&primary).times(1000));
    bench.landscape.inject(Rule::once("director.start", Fault::FailTask).about(&primary).times(1000));
    let request = bench.request(target);
    let transcript = Transcript::default();
    restore(&bench, &request, &transcript).await;
    transcript.finish("is_stuck.out", &bench, &request).await;
}
