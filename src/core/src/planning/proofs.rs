//! Planning against random pasts: trees of timelines, backups, archives with holes. A checker that walks
//! the tree quarter segment by quarter segment, and knows nothing of histories, checks every answer.

mod pasts;

use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use proptest::sample::Index;

use super::PlanError;
use super::archived_cluster::*;
use crate::documents::{BackupManifest, RecoveryPath};
use crate::{
    ArchiveListing, CommitSpan, Fork, Lsn, MarkKind, MoreWal, OperatorError, RecoveryTarget, RestoreTarget,
    RunningPrimary, TargetSearch, TimelineHistory, TimelinePart, WalMark, WalSegment,
};
use pasts::{at, cases, clock};

/// Positions are counted in quarters of a segment.
const QUARTER: u64 = SIZE.bytes() as u64 / 4;
/// No timeline goes on beyond this.
const END: u64 = 40;

/// A timeline of the model: it leaves `parent` at `begin` and its WAL ends at `end`.
#[derive(Clone, Debug)]
struct Branch {
    parent: u32,
    begin: u64,
    end: u64,
}

/// A past, the archive that is left of it, and a question.
#[derive(Clone, Debug)]
struct Case {
    /// Timeline 1 is at index 0.
    branches: Vec<Branch>,
    cluster: ArchivedCluster,
    target: RestoreTarget,
}

/// The timelines alone.
struct Tree<'a>(&'a [Branch]);

impl Tree<'_> {
    fn writer(&self, tli: u32, quarter: u64) -> u32 {
        let branch = &self.0[tli as usize - 1];
        if tli == 1 || quarter >= branch.begin { tli } else { self.writer(branch.parent, quarter) }
    }
}

impl Case {
    fn branch(&self, tli: u32) -> &Branch {
        &self.branches[tli as usize - 1]
    }

    /// The timeline that wrote this quarter, on the way to `tli`.
    fn writer(&self, tli: u32, quarter: u64) -> u32 {
        Tree(&self.branches).writer(tli, quarter)
    }

    /// The quarters of a line whose commits are not later than a time.
    fn lived(&self, tli: u32, time: Timestamp) -> Vec<(u32, u64)> {
        let on = |quarter: u64| (self.writer(tli, quarter), quarter);
        let own = |(writer, quarter): &(u32, u64)| *quarter < self.branch(*writer).end;
        let quarters = (self.branch(1).begin..END).map(on).filter(own);
        quarters.filter(|(writer, quarter)| clock(*writer, quarter + 1) <= time).collect()
    }

    /// The timeline on which the cluster was at a time: the youngest that had committed.
    fn at(&self, time: Timestamp) -> Option<u32> {
        let all = 1..=u32::try_from(self.branches.len()).unwrap();
        all.rev().find(|tli| {
            let branch = self.branch(*tli);
            branch.begin < branch.end && clock(*tli, branch.begin + 1) <= time
        })
    }

    /// Where a restore point lies.
    fn place(&self) -> Option<(u32, u64)> {
        let RecoveryTarget::Name(place) = &self.target.target else { return None };
        let (tli, quarter) = place.split_once(' ')?;
        Some((tli.parse().unwrap(), quarter.parse().unwrap()))
    }

    /// Whether the backup ends after the target.
    fn ends_late(&self, line: u32, backup: &BackupManifest) -> bool {
        !ends_in_time(backup, &self.target)
            || self.shown(line).is_some_and(|quarter| backup.stop_lsn > at(quarter))
    }

    /// The restore point, where a segment of the line shows it.
    fn shown(&self, line: u32) -> Option<u64> {
        let (tli, quarter) = self.place()?;
        let there = self.branches.get((tli as usize).wrapping_sub(1));
        there.filter(|branch| (branch.begin..branch.end).contains(&quarter))?;
        let found = self.cluster.archive.search.as_ref()?.found.first()?;
        (self.writer(line, quarter) == tli && found.begins == at(quarter)).then_some(quarter)
    }

    fn segment_for(&self, tli: u32, number: u64) -> WalSegment {
        segment(self.writer(tli, number * 4 + 3), number)
    }

    fn has(&self, segment: WalSegment) -> bool {
        self.cluster.archive.segments.contains(&segment)
    }

    fn last_archived(&self, tli: u32) -> Option<u64> {
        (0..=END).rev().find(|&n| self.has(self.segment_for(tli, n)))
    }

    /// A backup is written down when its last segment is archived: it proves that there was WAL up to there.
    fn known_to_have_been_archived(&self, line: u32) -> Option<u64> {
        let on_line = self.cluster.manifests.iter().filter(|backup| self.is_on_timeline(line, backup));
        on_line.map(|backup| (backup.stop_lsn.0 / QUARTER - 1) / 4).max()
    }

    /// Whether the segment is there or will be.
    fn can_be_read(&self, line: u32, number: u64) -> bool {
        let wanted = self.segment_for(line, number);
        let coming = self.cluster.archive.primary().is_some_and(|primary| {
            primary.timeline == wanted.timeline
                && self.last_archived(line).is_none_or(|last| number > last)
                && self.known_to_have_been_archived(line).is_none_or(|known| number > known)
        });
        self.has(wanted) || coming
    }

    fn is_on_timeline(&self, line: u32, backup: &BackupManifest) -> bool {
        let quarters = backup.start_lsn.0 / QUARTER..backup.stop_lsn.0 / QUARTER;
        quarters.into_iter().all(|quarter| self.writer(line, quarter) == backup.timeline.get())
    }

    /// The timeline that the question is about.
    fn line(&self) -> u32 {
        let archive = &self.cluster.archive;
        let newest = archive.segments.iter().map(|segment| segment.timeline);
        let newest = newest.chain(archive.histories.keys().copied());
        let newest = newest.chain(self.cluster.manifests.iter().map(|backup| backup.timeline)).max();
        let of_backup = match &self.target.target {
            RecoveryTarget::Backup(id) => self.cluster.manifests.iter().find(|backup| backup.id == *id),
            _ => None,
        };
        let line = self.target.timeline.or(of_backup.map(|backup| backup.timeline));
        line.or(archive.primary().map(|primary| primary.timeline)).or(newest).map_or(1, |line| line.get())
    }

    /// The backups from which the target could be reached if all WAL were there.
    fn candidates(&self, line: u32) -> Vec<&BackupManifest> {
        let named = match (&self.target.target, &self.target.from_backup) {
            (RecoveryTarget::Backup(id), _) | (_, Some(id)) => Some(id),
            _ => None,
        };
        let fits = |backup: &&BackupManifest| {
            named.is_none_or(|id| backup.id == *id)
                && self.is_on_timeline(line, backup)
                && ends_in_time(backup, &self.target)
                && self.shown(line).is_none_or(|quarter| backup.stop_lsn <= at(quarter))
        };
        self.cluster.manifests.iter().filter(fits).collect()
    }

    /// Whether PostgreSQL could read its way from the backup to the target.
    fn can_be_reached(&self, line: u32, backup: &BackupManifest) -> bool {
        let first = backup.start_lsn.0 / QUARTER / 4;
        let stop = (backup.stop_lsn.0 / QUARTER - 1) / 4;
        let all = |last: u64| {
            (first..=stop).all(|n| self.has(self.segment_for(line, n)))
                && (first..=last).all(|n| self.can_be_read(line, n))
        };
        let birth = self.branch(line).begin / 4;
        let known = self.known_to_have_been_archived(line).unwrap_or(stop);
        let end = self.last_archived(line).unwrap_or(0).max(known).max(birth);
        let primary = self.cluster.archive.primary();
        match &self.target.target {
            RecoveryTarget::Backup(_) => all(stop),
            RecoveryTarget::Lsn(lsn) => {
                let number = lsn.0 / QUARTER / 4;
                let written = primary.is_some_and(|primary| *lsn <= primary.lsn);
                all(number) && (self.has(self.segment_for(line, number)) || written)
            }
            RecoveryTarget::Time(time) => {
                let later = |commit: Timestamp| commit > *time || self.target.exclusive && commit == *time;
                let shows = |n: &u64| {
                    self.cluster
                        .archive
                        .commit_times
                        .get(&self.segment_for(line, *n))
                        .copied()
                        .is_some_and(later)
                };
                let living = primary.is_some_and(|primary| primary.timeline.get() == line);
                (first..=END).find(shows).is_some_and(|n| all(n.max(stop))) || living && all(end)
            }
            RecoveryTarget::Name(_) => match self.shown(line) {
                Some(quarter) => (first..=quarter / 4).all(|n| self.has(self.segment_for(line, n))),
                None => self.target.accept_unverified && all(end),
            },
            _ => all(end),
        }
    }
}

fn ends_in_time(backup: &BackupManifest, target: &RestoreTarget) -> bool {
    match &target.target {
        RecoveryTarget::Lsn(lsn) => backup.stop_lsn <= *lsn,
        RecoveryTarget::Time(time) => backup.stopped_at <= *time,
        _ => true,
    }
}

/// Whether the plan is right: its backup, its WAL, its timelines.
fn check_plan(case: &Case, path: &RecoveryPath) -> Result<(), TestCaseError> {
    let line = case.line();
    let followed = path.history.timeline.get();
    let candidates = case.candidates(line);
    let backup = candidates.iter().find(|backup| backup.id == path.backup);
    let backup =
        backup.ok_or_else(|| TestCaseError::fail("the backup is not on the line or ends too late"))?;
    prop_assert!(candidates.iter().all(|other| other.start_lsn <= backup.start_lsn), "a newer backup serves");
    prop_assert!(case.is_on_timeline(followed, backup), "the backup is not on the line that is followed");
    prop_assert!(case.can_be_reached(line, backup), "the WAL is not there");
    let (first, last) = (path.segments.0.number(SIZE), path.segments.1.number(SIZE));
    prop_assert_eq!(first, backup.start_lsn.0 / QUARTER / 4);
    for number in first..=last {
        prop_assert!(case.can_be_read(line, number), "segment {} cannot be read", number);
        let same = case.segment_for(followed, number) == case.segment_for(line, number);
        prop_assert!(same, "the lines differ in segment {}", number);
    }
    prop_assert_eq!(path.segments.1, case.segment_for(followed, last));
    prop_assert!(path.minimum_lsn >= backup.stop_lsn && path.minimum_lsn <= path.segments.1.end(SIZE));
    match &case.target.target {
        RecoveryTarget::Lsn(lsn) => {
            prop_assert_eq!(last, lsn.0 / QUARTER / 4);
            prop_assert!(path.minimum_lsn <= *lsn);
        }
        RecoveryTarget::Latest => prop_assert!(case.last_archived(line).is_none_or(|end| end <= last)),
        RecoveryTarget::Time(time) => {
            prop_assert!(case.cluster.archive.primary().is_none_or(|primary| *time <= primary.now));
            let times = &case.cluster.archive.commit_times;
            let histories_known = (2..=case.branches.len() as u32)
                .all(|tli| case.cluster.archive.histories.contains_key(&timeline(tli)));
            // A primary that went on on an older timeline may have lived anywhere since.
            let over = times.iter().any(|(segment, commit)| {
                commit > time && case.segment_for(line, segment.number(SIZE)) == *segment
            });
            if case.target.timeline.is_none() && histories_known && over {
                let then = case.at(*time).unwrap_or(1);
                prop_assert_eq!(case.lived(line, *time), case.lived(then, *time), "it was on {} then", then);
            }
        }
        RecoveryTarget::Name(_) => match case.shown(line) {
            Some(quarter) => {
                prop_assert_eq!(last, quarter / 4);
                prop_assert!(backup.stop_lsn <= at(quarter) && path.minimum_lsn.0 <= at(quarter).0 + 80);
            }
            None => prop_assert!(case.target.accept_unverified),
        },
        _ => {}
    }
    let histories = &case.cluster.archive.histories;
    prop_assert!(!histories.contains_key(&path.new_timeline));
    let between = followed + 1..path.new_timeline.get();
    prop_assert!(between.into_iter().all(|tli| histories.contains_key(&timeline(tli))));
    Ok(())
}

/// Whether the target is really not where it was asked for.
fn judge_elsewhere(
    case: &Case,
    error: &PlanError,
    line: u32,
    candidates: &[&BackupManifest],
) -> Result<(), TestCaseError> {
    match error {
        PlanError::UnknownTimeline { wanted, .. } => {
            let archive = &case.cluster.archive;
            prop_assert!(case.target.timeline == Some(*wanted) && !archive.histories.contains_key(wanted));
            prop_assert!(archive.segments.iter().all(|segment| segment.timeline != *wanted));
            prop_assert!(case.cluster.manifests.iter().all(|backup| backup.timeline != *wanted));
        }
        PlanError::AbandonedTime { lives, .. } => {
            let RecoveryTarget::Time(time) = case.target.target else { panic!("no time was asked for") };
            let then = lives.then.timeline.get();
            prop_assert!(case.target.timeline.is_none());
            prop_assert!(case.lived(line, time) != case.lived(then, time), "it is the same state on both");
            prop_assert!(case.at(time).is_some_and(|at| at >= then), "nobody was there yet");
        }
        PlanError::Unverified { .. } => {
            prop_assert!(!case.target.accept_unverified && case.shown(line).is_none());
        }
        PlanError::PartOfTransaction { .. } | PlanError::SeveralPoints { .. } => {
            prop_assert!(false, "nothing of the kind was written");
        }
        PlanError::AbandonedTarget { holder, .. } if case.place().is_some() => {
            prop_assert!(case.shown(line).is_none());
            prop_assert!(case.shown(holder.get()).is_some(), "{} does not have it either", holder);
        }
        PlanError::AbandonedTarget { holder, .. } => {
            prop_assert!(holder.get() != line, "the line itself is named");
            // A time that only another branch has is refused with it.
            let by_time = matches!(case.target.target, RecoveryTarget::Time(_));
            prop_assert!(by_time || candidates.iter().all(|backup| !case.can_be_reached(line, backup)));
        }
        other => prop_assert!(false, "{other:?} is judged elsewhere"),
    }
    Ok(())
}

/// Whether the reason holds, and whether there is really no plan.
fn check_refusal(case: &Case, error: &PlanError) -> Result<(), TestCaseError> {
    let line = case.line();
    let archive = &case.cluster.archive;
    let known = line as usize <= case.branches.len();
    let candidates = if known { case.candidates(line) } else { Vec::new() };
    let find = |id: &crate::BackupId| case.cluster.manifests.iter().find(|backup| backup.id == *id);
    prop_assert!(error.next_step().is_some());
    match error {
        PlanError::NoBackup(_) => prop_assert!(case.cluster.manifests.is_empty()),
        PlanError::OtherCluster { .. } | PlanError::UnknownLives { .. } => prop_assert!(false, "{error:?}"),
        PlanError::UnknownBackup(id) => prop_assert!(find(id).is_none()),
        PlanError::MissingHistory { missing, .. } => {
            prop_assert!(!archive.histories.contains_key(missing) && missing.get() > 1);
        }
        PlanError::TimelineUnclear { newest_at, other_at, .. } => {
            prop_assert!(
                case.target.timeline.is_none() && archive.primary().is_none() && other_at > newest_at
            );
        }
        PlanError::InFuture { now, .. } => {
            let future = matches!(&case.target.target, RecoveryTarget::Time(time) if time > now);
            prop_assert!(future && archive.primary().is_some());
        }
        PlanError::BeforeFirstBackup { first: backup, .. } | PlanError::BeforeNamedBackup { backup, .. } => {
            prop_assert!(candidates.is_empty());
            prop_assert!(find(backup).is_some_and(|backup| case.ends_late(line, backup)));
        }
        PlanError::ForkInsideBackup { backup, .. } | PlanError::AbandonedBackup { backup, .. } => {
            prop_assert!(candidates.is_empty());
            let inside = matches!(error, PlanError::ForkInsideBackup { .. });
            let backup = find(backup).expect("the backup that is named exists");
            let first = backup.start_lsn.0 / QUARTER;
            let holds_a_part =
                (first..backup.stop_lsn.0 / QUARTER).any(|q| case.writer(line, q) == backup.timeline.get());
            prop_assert!(!case.is_on_timeline(line, backup));
            prop_assert!(!inside || holds_a_part || case.branch(backup.timeline.get()).begin > first);
        }
        PlanError::UnknownTimeline { .. }
        | PlanError::AbandonedTime { .. }
        | PlanError::Unverified { .. }
        | PlanError::PartOfTransaction { .. }
        | PlanError::SeveralPoints { .. }
        | PlanError::AbandonedTarget { .. } => judge_elsewhere(case, error, line, &candidates)?,
        PlanError::BeyondEnd { .. } | PlanError::Gap { .. } => {
            prop_assert!(
                candidates.iter().all(|backup| !case.can_be_reached(line, backup)),
                "there is a plan"
            );
        }
        PlanError::TimelineTaken { timeline } => prop_assert!(!archive.histories.contains_key(timeline)),
    }
    if let PlanError::Gap { missing, before, after, .. } = error {
        prop_assert!(!case.has(*missing));
        prop_assert_eq!(*missing, case.segment_for(line, missing.number(SIZE)));
        for reachable in [before, after].into_iter().flatten() {
            for lsn in [reachable.from, Lsn(reachable.to.0 - 1)] {
                let target = RestoreTarget {
                    from_backup: Some(reachable.backup.clone()),
                    ..RestoreTarget::of(RecoveryTarget::Lsn(lsn))
                };
                let answer = case.cluster.plan(&target.on(line));
                let within = reachable.from < reachable.to;
                let reached = matches!(answer, Ok(_) | Err(PlanError::TimelineTaken { .. }));
                prop_assert!(reached || !within, "{} is promised: {:?}", lsn, answer);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn an_independent_checker_agrees_with_every_answer(case in cases()) {
        match case.cluster.plan(&case.target) {
            Ok(path) => check_plan(&case, &path)?,
            Err(error) => check_refusal(&case, &error)?,
        }
    }
}

/// Numbers that no cluster has, from a damaged or malicious manifest or archive.
fn wild_positions() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), Just(u64::MAX - u64::from(SIZE.bytes())), any::<u64>()]
}

proptest! {
    #[test]
    fn no_input_makes_planning_panic_or_run_on(
        (start, stop, fork) in (wild_positions(), wild_positions(), wild_positions()),
        numbers in prop::collection::vec(wild_positions(), 0..8),
        lsn in wild_positions(), running in prop::option::of(wild_positions()), tli in prop::option::of(1u32..4),
    ) {
        let mut cluster = ArchivedCluster::empty();
        cluster.manifests.push(manifest("wild", timeline(1), (Lsn(start), Lsn(stop)), time("10:00:00")));
        for number in numbers {
            for tli in [1, 2, u32::MAX] {
                cluster.archive.segments.insert(WalSegment::containing(timeline(tli), Lsn(number), SIZE));
            }
        }
        let forks = vec![Fork { parent: timeline(1), lsn: Lsn(fork), reason: String::new() }];
        for tli in [2, u32::MAX] {
            let history = TimelineHistory { timeline: timeline(tli), forks: forks.clone() };
            cluster.archive.histories.insert(timeline(tli), history);
        }
        if let Some(lsn) = running {
            let primary = RunningPrimary { now: time("11:00:00"), timeline: timeline(1), lsn: Lsn(lsn) };
            cluster.archive.more_to_come = MoreWal::ClusterRuns(primary);
        }
        for target in [RecoveryTarget::Lsn(Lsn(lsn)), RecoveryTarget::Latest, RecoveryTarget::Time(time("10:30:00"))] {
            let target = RestoreTarget { timeline: tli.map(timeline), ..RestoreTarget::of(target) };
            if let Err(error) = cluster.plan(&target) {
                prop_assert!(!error.to_string().is_empty() && error.next_step().is_some());
            }
        }
    }
}

/// A checker that never sees an answer of some kind proves nothing about it.
#[test]
fn the_random_pasts_lead_to_every_kind_of_answer() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..4000 {
        let case = cases().new_tree(&mut runner).unwrap().current();
        let kind = match case.cluster.plan(&case.target) {
            Ok(path) if path.history.timeline.get() != case.line() => "plan on a shorter line".to_owned(),
            Ok(path) if path.segments.0.timeline != path.segments.1.timeline => "plan over a fork".to_owned(),
            Ok(_) => "plan".to_owned(),
            Err(error) => format!("{error:?}").split(['(', ' ']).next().unwrap().to_owned(),
        };
        *seen.entry(kind).or_default() += 1;
    }
    for kind in [
        "plan",
        "plan on a shorter line",
        "plan over a fork",
        "NoBackup",
        "UnknownBackup",
        "MissingHistory",
        "BeforeFirstBackup",
        "BeforeNamedBackup",
        "ForkInsideBackup",
        "AbandonedBackup",
        "AbandonedTarget",
        "AbandonedTime",
        "Unverified",
        "Gap",
        "BeyondEnd",
        "InFuture",
        "TimelineTaken",
    ] {
        assert!(seen.get(kind).is_some_and(|count| *count >= 5), "{kind} was hardly seen: {seen:#?}");
    }
}
