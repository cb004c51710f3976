//! How long old disks are kept, and what cannot be promised.

use remount_flow::OldDiskRetention;

#[test]
fn what_the_director_would_delete_first_cannot_be_promised() {
    let problem = |keep_hours, director_days| OldDiskRetention { keep_hours, director_days }.problem();
    assert_eq!(OldDiskRetention::default().problem(), None);
    assert_eq!(problem(108, 5), None);
    let refused = problem(109, 5).unwrap();
    assert!(refused.what.contains("5 days") && refused.what.contains("108"), "{}", refused.what);
    assert!(refused.next.unwrap().contains("max_orphaned_age_in_days"));
    assert_eq!(problem(109, 6), None);
    assert!(problem(0, 0).is_some() && problem(u64::MAX, 3650).is_some() && problem(1, u64::MAX).is_some());
}

#[test]
fn hours_without_end_have_no_last_one() {
    let since = "2026-11-23T10:15:00Z".parse().unwrap();
    assert_eq!(OldDiskRetention::until(since, 120).unwrap().to_string(), "2026-11-28T10:15:00Z");
    assert_eq!(OldDiskRetention::until(since, u64::MAX), None);
}
