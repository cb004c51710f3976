//! Remount's own client against the lab's Director: two implementations of one API, by different hands.

use std::time::{Duration, Instant};

use remount_core::{DeploymentName, DiskCid};
use remount_director::{
    Director, DirectorConfig, Follow, RetryingDirector, StopKind, TASK_PACE, Task, TaskId, TaskState, follow,
};
use remount_host::RetryPolicy;
use tokio_util::sync::CancellationToken;

use crate::landscape::{Landscape, account};

/// Follows a task as the flows do.
pub async fn wait(
    director: &RetryingDirector,
    task: TaskId,
    deadline: Instant,
) -> Result<Task, remount_director::Error> {
    let cancellation = CancellationToken::new();
    let how = Follow { deadline, pace: TASK_PACE, cancellation: &cancellation, progress: &|_| {} };
    follow(director, task, how).await
}

#[tokio::test(flavor = "multi_thread")]
async fn remounts_own_client_logs_in_swaps_a_disk_and_tidies_up() {
    let lab = tokio::task::spawn_blocking(|| {
        Landscape::deployed_with(|c| {
            c.uaa_clients = vec![account("remount", "s", &["bosh.admin"])];
            c.token_validity = Duration::from_secs(1);
        })
    })
    .await
    .unwrap();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), lab.director.ca_pem()).unwrap();
    let config: DirectorConfig = serde_json::from_value(serde_json::json!({
        "url": lab.director.url(), "ca_file": ca.path(), "client_id": "remount", "client_secret": "s"}))
    .unwrap();
    let director = config.open(&RetryPolicy::within(Duration::from_secs(5))).unwrap();
    assert_eq!(director.info().await.unwrap().user.as_deref(), Some("remount"));
    let pg = DeploymentName::new("pg").unwrap();
    let instances = director.instances(&pg).await.unwrap();
    let db = instances.iter().find(|i| i.slug.group.as_str() == "db").unwrap();
    assert!(db.is_running());
    let deadline = || Instant::now() + Duration::from_secs(20);
    let task = director.stop(&pg, &db.slug, StopKind::Soft, "ctx").await.unwrap();
    assert_eq!(wait(&director, task, deadline()).await.unwrap().state, TaskState::Done);
    lab.iaas.add_disk("disk-new", "z1", "");
    let new = DiskCid::new("disk-new").unwrap();
    let task = director.attach_disk(&pg, &db.slug, &new).await.unwrap();
    wait(&director, task, deadline()).await.unwrap();
    assert_eq!(director.orphaned_disks().await.unwrap().len(), 1);
    let bad = DiskCid::new("disk-bad").unwrap();
    let task = director.attach_disk(&pg, &db.slug, &bad).await.unwrap();
    let error = wait(&director, task, deadline()).await.unwrap_err();
    assert!(format!("{error}").contains("in 'attach_disk' CPI method"), "{error}");
    let task = director.start(&pg, &db.slug, "ctx").await.unwrap();
    wait(&director, task, deadline()).await.unwrap();
    assert!(director.locks().await.unwrap().is_empty());
    assert_eq!(director.tasks(&pg, 3).await.unwrap().len(), 3);
    let old = director.orphaned_disks().await.unwrap()[0].disk_cid.clone();
    let task = director.delete_orphaned_disk(&old).await.unwrap();
    wait(&director, task, deadline()).await.unwrap();
    director.cancel(task).await.unwrap();
    tokio::task::spawn_blocking(move || drop(lab)).await.unwrap();
}
