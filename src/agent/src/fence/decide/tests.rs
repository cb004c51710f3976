//! Each row of the table.

use jiff::Timestamp;
use remount_core::documents::{
    BackupMark, DiskShape, PlannedInstance, RecoveryPath, RestoreOptions, RestorePlan,
};
use remount_core::{
    Lsn, RecoveryTarget, RestoreId, RestoreTarget, SegmentSize, SnapshotCid, TimelineHistory, TimelineId,
    WalSegment,
};

use super::*;

const DATA: SystemIdentifier = SystemIdentifier(7);

fn instance(id: &str) -> InstanceSlug {
    InstanceSlug { group: "postgres".parse().unwrap(), id: id.parse().unwrap() }
}

fn backup() -> BackupId {
    BackupId::new("20261123T004500Z-k3f9").unwrap()
}

fn identity() -> Identity {
    Identity {
        instance: instance("i-1"),
        deployment: "pg-1".parse().unwrap(),
        cluster: "pg-1".parse().unwrap(),
    }
}

fn store() -> StoreId {
    StoreId::of(7)
}

/// A disk with data, without a mark, on a VM that has never looked.
fn plain() -> Facts {
    Facts { seen_here: false, ..Facts::of_running(&identity(), DATA) }
}

/// A disk with this instance's own mark.
fn marked() -> Facts {
    let owner = owner_of(&identity(), DATA);
    let mark =
        BackupMark { format: 1, backup: backup(), owner, store: store(), started_at: Timestamp::UNIX_EPOCH };
    Facts { mark: Some(mark), ..plain() }
}

fn marked_as(change: impl FnOnce(&mut DiskOwner)) -> Facts {
    let mut facts = marked();
    change(&mut facts.mark.as_mut().unwrap().owner);
    facts
}

fn plan(change: impl FnOnce(&mut RestorePlan)) -> RestorePlan {
    let segment = WalSegment::numbered(TimelineId::FIRST, 1, SegmentSize::DEFAULT);
    let mut plan = RestorePlan {
        format: 1,
        id: RestoreId::new("20261123T010000Z-aaaa").unwrap(),
        cluster: "pg-1".parse().unwrap(),
        deployment: "pg-1".parse().unwrap(),
        group: None,
        created_at: Timestamp::UNIX_EPOCH,
        requested_by: String::new(),
        target: RestoreTarget::of(RecoveryTarget::Latest),
        path: RecoveryPath {
            backup: backup(),
            snapshot: SnapshotCid::new("snap-1").unwrap(),
            system_identifier: DATA,
            segment_size: SegmentSize::DEFAULT,
            history: TimelineHistory::first(),
            new_timeline: TimelineId::new(2).unwrap(),
            start_lsn: Lsn(1),
            consistent_lsn: Lsn(2),
            minimum_lsn: Lsn(2),
            segments: (segment, segment),
        },
        backup_label: String::new(),
        tablespace_map: String::new(),
        pause: false,
        revision: 1,
        options: RestoreOptions::default(),
        segments_verified: 0,
        accept_loss: Vec::new(),
        instances: vec![PlannedInstance {
            instance: instance("i-1"),
            role: Role::Primary,
            old_disk: None,
            new_disk: DiskShape { size_mib: 1, ..DiskShape::default() },
            was_running: true,
        }],
        estimate_seconds: 0.0,
        keep_old_disks_hours: 24,
        tool_version: String::new(),
    };
    change(&mut plan);
    plan
}

fn of_plan(plan: RestorePlan) -> Option<Answer> {
    Some(Answer::Planned(Box::new(plan)))
}

fn without_plan(backup: BackupFate) -> Option<Answer> {
    Some(Answer::Unplanned { backup, store: Some(store()) })
}

fn silence() -> Option<Answer> {
    Some(Answer::Silence { seconds: 1, detail: "gone".into() })
}

/// The decision in a word or two; a refusal by its variant.
fn word(decision: &Decision) -> String {
    match decision {
        Decision::Start(_) => "start".into(),
        Decision::AskWhetherRegistered => "ask for the note".into(),
        Decision::AskAbout(_) => "ask about the copy".into(),
        Decision::RemoveMark => "remove the mark".into(),
        Decision::Apply(_, role) => format!("apply as {role:?}"),
        Decision::Refuse(refusal) => {
            let text = format!("{refusal:?}");
            text.split([' ', '{']).next().unwrap_or_default().to_owned()
        }
    }
}

#[test]
fn the_disk_and_the_vm_decide_what_they_can() {
    let missing = Facts { missing_at: Some("/var/vcap/store".into()), ..marked() };
    let empty = || Facts { data: Data::None, ..plain() };
    let worker = Some(Worker { pid: 1, name: "postgres".into() });
    for (facts, answer, decided) in [
        (missing, None, "NotMounted"),
        (Facts { seen_here: true, ..empty() }, None, "DataMissing"),
        (empty(), None, "ask for the note"),
        (empty(), Some(Answer::Registered(true)), "DataMissing"),
        (empty(), Some(Answer::Registered(false)), "start"),
        (empty(), silence(), "EmptyAndUnanswered"),
        (Facts { data: Data::None, ..marked() }, None, "CopyWithoutData"),
        (plain(), None, "start"),
        (Facts { worker: worker.clone(), ..plain() }, None, "start"),
        (Facts { applied: vec![backup()], ..marked() }, None, "start"),
        (Facts { worker: worker.clone(), applied: vec![backup()], ..marked() }, None, "start"),
        (marked(), None, "ask about the copy"),
        (Facts { worker, ..marked() }, None, "AlreadyUsed"),
    ] {
        assert_eq!(word(&decide(&facts, answer.as_ref())), decided, "{facts:?} {answer:?}");
    }
}

#[test]
fn the_store_decides_the_rest() {
    let other = BackupId::new("20261122T000000Z-zzzz").unwrap();
    let of_another = || marked_as(|owner| owner.instance = "i-9".parse().unwrap());
    for (facts, answer, decided) in [
        (marked(), silence(), "CopyAndUnanswered"),
        (of_another(), silence(), "CopyAndUnanswered"),
        (marked(), of_plan(plan(|plan| plan.path.backup = other)), "WrongDisk"),
        (marked(), of_plan(plan(|plan| plan.path.system_identifier = SystemIdentifier(8))), "OtherCluster"),
        (marked(), of_plan(plan(|plan| plan.instances.clear())), "NotPlanned"),
        (marked(), of_plan(plan(|_| {})), "apply as Primary"),
        (of_another(), of_plan(plan(|_| {})), "apply as Primary"),
        (of_another(), of_plan(plan(|plan| plan.instances[0].role = Role::Standby)), "apply as Standby"),
        (marked(), without_plan(BackupFate::Good), "NoPlan"),
        (marked(), without_plan(BackupFate::Pruned), "NoPlan"),
        (marked(), without_plan(BackupFate::Unknown), "remove the mark"),
        (marked(), without_plan(BackupFate::Failed), "remove the mark"),
    ] {
        assert_eq!(word(&decide(&facts, answer.as_ref())), decided, "{facts:?} {answer:?}");
    }
}

/// After a prune, a change of the prefix, in a clone: the store knows nothing of the backup, and it is a copy all the same.
#[test]
fn a_copy_of_another_is_one_whatever_the_store_says() {
    for facts in [
        marked_as(|owner| owner.instance = "i-9".parse().unwrap()),
        marked_as(|owner| owner.cluster = "pg-2".parse().unwrap()),
        marked_as(|owner| owner.system_identifier = SystemIdentifier(8)),
    ] {
        for record in [BackupFate::Unknown, BackupFate::Failed, BackupFate::Good, BackupFate::Pruned] {
            let decision = decide(&facts, without_plan(record).as_ref());
            assert_eq!(word(&decision), "CopyOfAnother", "{facts:?} {record:?}");
        }
    }
}

/// A changed prefix, or an emptied bucket: "no manifest" is then no proof that this is the original.
#[test]
fn another_store_proves_nothing_of_a_mark() {
    for other in [None, Some(StoreId::of(8))] {
        let answer = Answer::Unplanned { backup: BackupFate::Unknown, store: other.clone() };
        let refusal = Refusal::OtherStore { backup: backup(), found: store(), wanted: other };
        assert_eq!(decide(&marked(), Some(&answer)), Decision::Refuse(refusal));
    }
}
