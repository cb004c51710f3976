//! Random pasts: timelines, what their archive has lost, backups on them, and a question.

use super::*;

/// The wall clock at a position of a timeline: a child lives after its parent.
pub(super) fn clock(tli: u32, quarter: u64) -> Timestamp {
    time("00:00:00") + (i64::from(tli) * 40 + i64::try_from(quarter).unwrap()).minutes()
}

pub(super) fn at(quarter: u64) -> Lsn {
    Lsn(quarter * QUARTER)
}

/// Two to four timelines, each leaving an older one inside its own WAL.
fn branches() -> impl Strategy<Value = Vec<Branch>> {
    prop::collection::vec((any::<Index>(), any::<Index>(), 0u64..16), 0..4).prop_map(|children| {
        let mut all = vec![Branch { parent: 1, begin: 4, end: 28 }];
        for (parent, fork, length) in children {
            let parent = parent.index(all.len());
            let within = usize::try_from(all[parent].end - all[parent].begin).unwrap() + 1;
            let begin = all[parent].begin + fork.index(within) as u64;
            let parent = u32::try_from(parent).unwrap() + 1;
            all.push(Branch { parent, begin, end: (begin + length).min(END) });
        }
        all
    })
}

/// Holes, lost histories and unknown times: each index takes one away.
#[derive(Clone, Debug)]
struct Losses {
    segments: Vec<Index>,
    histories: Vec<Index>,
    times: Vec<Index>,
}

fn losses() -> impl Strategy<Value = Losses> {
    let some = |most| prop::collection::vec(any::<Index>(), 0..most);
    let histories = prop_oneof![3 => Just(Vec::new()), 1 => some(3)];
    (some(3), histories, some(4)).prop_map(|(segments, histories, times)| Losses {
        segments,
        histories,
        times,
    })
}

fn archive_of(branches: &[Branch], losses: &Losses) -> ArchivedCluster {
    let mut cluster = ArchivedCluster::empty();
    let archive = &mut cluster.archive;
    for (tli, branch) in (1u32..).zip(branches) {
        for number in branch.begin / 4..branch.end.div_ceil(4) {
            archive.segments.insert(segment(tli, number));
            archive.commit_times.insert(segment(tli, number), clock(tli, (number * 4 + 4).min(branch.end)));
        }
        if tli > 1 {
            let parents = archive.histories.get(&timeline(branch.parent));
            let mut forks = parents.map_or_else(Vec::new, |history: &TimelineHistory| history.forks.clone());
            forks.push(Fork {
                parent: timeline(branch.parent),
                lsn: at(branch.begin),
                reason: String::new(),
            });
            archive.histories.insert(timeline(tli), TimelineHistory { timeline: timeline(tli), forks });
        }
    }
    for lost in &losses.segments {
        let segment = *lost.get(&cluster.archive.segments.iter().copied().collect::<Vec<_>>());
        cluster.archive.commit_times.remove(&segment);
        if cluster.archive.segments.len() > 1 {
            cluster.archive.segments.remove(&segment);
        }
    }
    for lost in &losses.times {
        let segments: Vec<_> = cluster.archive.segments.iter().copied().collect();
        cluster.archive.commit_times.remove(lost.get(&segments));
    }
    for lost in &losses.histories {
        let timelines: Vec<_> = cluster.archive.histories.keys().copied().collect();
        if !timelines.is_empty() {
            cluster.archive.histories.remove(lost.get(&timelines));
        }
    }
    cluster
}

/// Backups anywhere on the way to a timeline's end, also where no sound server would take one.
fn backups() -> impl Strategy<Value = Vec<(Index, Index, u64)>> {
    prop::collection::vec((any::<Index>(), any::<Index>(), 1u64..7), 0..6)
}

fn targets() -> impl Strategy<Value = (RestoreTarget, Option<Index>)> {
    let target = prop_oneof![
        3 => (0..END + 6).prop_map(|quarter| RecoveryTarget::Lsn(at(quarter))),
        3 => (0u32..6, 0..END).prop_map(|(tli, quarter)| RecoveryTarget::Time(clock(tli, quarter))),
        2 => Just(RecoveryTarget::Latest),
        1 => (0u32..6, 0..END).prop_map(|(tli, quarter)| RecoveryTarget::Name(format!("{tli} {quarter}"))),
        1 => Just(RecoveryTarget::Backup(backup_id("none"))),
    ];
    let line = prop_oneof![2 => Just(None), 1 => (1u32..6).prop_map(|tli| Some(timeline(tli)))];
    let from = prop_oneof![4 => Just(None), 1 => any::<Index>().prop_map(Some)];
    (target, line, any::<bool>(), from, any::<bool>()).prop_map(
        |(target, timeline, exclusive, from, accept_unverified)| {
            (RestoreTarget { target, timeline, exclusive, from_backup: None, accept_unverified }, from)
        },
    )
}

/// The first and the last commit of each part: a commit ends every quarter.
fn spans(branches: &[Branch], archive: &ArchiveListing) -> Vec<CommitSpan> {
    let span = |part: TimelinePart| {
        let tli = part.timeline.get();
        let own = branches.get(tli as usize - 1)?;
        let quarter = |lsn: Lsn| lsn.0 / QUARTER;
        let first = quarter(part.from).max(own.begin) + 1;
        let last = part.to.map_or(own.end, quarter).min(own.end);
        (first <= last).then(|| CommitSpan { part, first: clock(tli, first), last: clock(tli, last) })
    };
    archive.parts().into_iter().filter_map(span).collect()
}

/// The place `timeline quarter` of a restore point, in every archived segment that holds it.
fn search(branches: &[Branch], archive: &ArchiveListing, place: &str) -> TargetSearch {
    let mut words = place.split(' ').map(|word| word.parse::<u64>().unwrap());
    let (tli, quarter) = (words.next().unwrap() as u32, words.next().unwrap());
    let case = |tli: u32| branches.get((tli as usize).wrapping_sub(1));
    let exists = case(tli).is_some_and(|branch| (branch.begin..branch.end).contains(&quarter));
    let copies = archive.segments.iter().filter(|segment| {
        let tree = Tree(branches);
        exists && segment.number(SIZE) == quarter / 4 && tree.writer(segment.timeline.get(), quarter) == tli
    });
    let found = copies.map(|segment| WalMark {
        segment: *segment,
        begins: at(quarter),
        ends: Lsn(at(quarter).0 + 80),
        time: clock(tli, quarter),
        kind: MarkKind::RestorePoint,
    });
    TargetSearch { found: found.collect(), searched: archive.segments.len(), unread: 0 }
}

pub(super) fn cases() -> impl Strategy<Value = Case> {
    let running = prop_oneof![1 => Just(None), 1 => (any::<Index>(), 0u64..6).prop_map(Some)];
    (branches(), losses(), backups(), targets(), running).prop_map(
        |(branches, losses, backups, (mut target, from), running)| {
            let mut cluster = archive_of(&branches, &losses);
            for (name, (tli, start, length)) in backups.iter().enumerate() {
                let tli = tli.index(branches.len());
                let end = branches[tli].end.max(2);
                let start = start.index(usize::try_from(end - 1).unwrap()) as u64;
                let stop = (start + length).min(end);
                let tli = u32::try_from(tli).unwrap() + 1;
                let range = (at(start), at(stop));
                cluster.manifests.push(manifest(
                    &format!("b{name:03}"),
                    timeline(tli),
                    range,
                    clock(tli, stop),
                ));
            }
            if let Some((tli, more)) = running {
                let tli = tli.index(branches.len());
                let end = branches[tli].end + more;
                let tli = u32::try_from(tli).unwrap() + 1;
                let primary = RunningPrimary { now: clock(tli, end), timeline: timeline(tli), lsn: at(end) };
                cluster.archive.more_to_come = MoreWal::ClusterRuns(primary);
            }
            let named = from
                .filter(|_| !cluster.manifests.is_empty())
                .map(|from| from.get(&cluster.manifests).id.clone());
            match (&target.target, named) {
                (RecoveryTarget::Backup(_), Some(id)) => target.target = RecoveryTarget::Backup(id),
                (_, named) => target.from_backup = named,
            }
            cluster.archive.spans = spans(&branches, &cluster.archive);
            if let RecoveryTarget::Name(place) = &target.target {
                cluster.archive.search = Some(search(&branches, &cluster.archive, place));
            }
            Case { branches, cluster, target }
        },
    )
}
