//! Filling the clusters of a landscape with data.

use anyhow::{Context, Result};

use crate::folder::Folder;
use crate::scenarios::{Landscape, fill};

/// Fills every cluster with data, for `up --data-gib`.
pub(super) fn fill_clusters(folder: &Folder, deployments: u32, data_gib: u32) -> Result<()> {
    if data_gib == 0 {
        return Ok(());
    }
    let lab = Landscape::at(&std::env::current_exe().context("find this program")?, &folder.0);
    super::runtime()?.block_on(async {
        for number in 1..=deployments {
            let deployment = format!("pg-{number:04}");
            let client = lab.endpoint(&deployment, 0).await?.connect().await?;
            eprintln!("filling {deployment} with {data_gib} GiB");
            fill(&client, data_gib, |_| {}).await?;
        }
        Ok(())
    })
}
