//! `remount requests`.

use remount_store::Store;

use super::table::table;
use super::{Output, print_json};
use crate::failure::Failure;

/// Lists what the errand has still to carry out.
pub async fn list(store: &Store, output: Output) -> Result<(), Failure> {
    let pending = store.requests().pending().await?;
    if output == Output::Json {
        return print_json(&pending);
    }
    if pending.is_empty() {
        eprintln!("no requests are pending");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = pending
        .iter()
        .map(|request| {
            let by = request.requested_by.clone();
            vec![request.id.to_string(), request.deployment.to_string(), request.target.to_string(), by]
        })
        .collect();
    println!("{}", table(&["REQUEST", "DEPLOYMENT", "TARGET", "BY"], &rows));
    Ok(())
}
