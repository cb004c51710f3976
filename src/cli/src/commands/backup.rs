//! `remount backup`.

use remount_flow::{BackupRequest, FlowContext, run_backup};

use super::{Output, print_json};
use crate::arguments::ClusterArguments;
use crate::failure::Failure;
use crate::progress::Lines;

/// Takes a backup.
pub async fn run(context: &FlowContext, cluster: &ClusterArguments, output: Output) -> Result<(), Failure> {
    let mut request = BackupRequest::of(cluster.deployment.clone());
    request.group.clone_from(&cluster.group);
    let manifest = run_backup(context, &request, &Lines::new()).await?;
    match output {
        Output::Json => print_json(&manifest),
        Output::Text => {
            println!(
                "backup {} of {} is good, consistent at {}",
                manifest.id, manifest.cluster, manifest.stopped_at
            );
            Ok(())
        }
    }
}
