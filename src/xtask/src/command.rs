//! Running cargo.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// The cargo that runs this program, at the top of the repository.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    cargo_in(&workspace.root)
}

/// The cargo that runs this program, in another folder.
pub(crate) fn cargo_in(folder: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(folder);
    command
}

/// Runs the command; whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    let status = command.status().with_context(|| format!("start {}", command.get_program().display()))?;
    Ok(status.success())
}
