//! Commands on VMs: `remount-lab exec` and `remount-lab remount`.

use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use super::instance::find;
use crate::bosh::Bosh;
use crate::control::{self, Request};
use crate::folder::Folder;

/// The control VM.
pub(super) const CONTROL: &str = "remount/remount/0";
/// Its `remount`, with the deployment's configuration.
const REMOUNT: &str = "/var/vcap/jobs/remount/bin/remount";

/// Runs a command on an instance.
#[derive(Debug, Args)]
pub(super) struct Exec {
    /// DEPLOYMENT/GROUP/INDEX
    instance: String,
    /// The command.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Exec {
    pub(super) fn run(&self, folder: &Folder) -> Result<u8> {
        on_vm(folder, &self.instance, &self.command)
    }
}

/// Runs `remount` on the control VM.
#[derive(Debug, Args)]
pub(super) struct Remount {
    /// Its arguments.
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Remount {
    pub(super) fn run(&self, folder: &Folder) -> Result<u8> {
        let command: Vec<String> =
            std::iter::once(REMOUNT.to_owned()).chain(self.arguments.iter().cloned()).collect();
        on_vm(folder, CONTROL, &command)
    }
}

/// Runs it in the VM's namespaces, with the environment that the BOSH agent gives.
fn on_vm(folder: &Folder, instance: &str, command: &[String]) -> Result<u8> {
    let vm = find(&Bosh::new(&folder.access()?)?, instance)?.vm;
    let vm = vm.with_context(|| format!("{instance} has no VM"))?;
    let pid = control::ask(&folder.socket(), &Request::InitPid { vm })?;
    let status = Command::new("nsenter")
        .args(["--target", &pid, "--mount", "--pid", "--"])
        .args(command)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .status()
        .context("run nsenter (package util-linux)")?;
    Ok(exit_code(status))
}

/// As a shell has it: 128 + n after signal n.
pub(super) fn exit_code(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}
