//! A landscape driven from outside, by the same commands an operator types. The demo, the benchmarks and the
//! landscape tests use nothing else, so what they show is what the commands do.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use super::ledger::{Endpoint, Password};

/// No command of the demo or of a test takes longer, whatever goes wrong.
const COMMAND_LIMIT: Duration = Duration::from_secs(1800);

/// What a command left.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code; 128 + n after signal n.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it printed as errors.
    pub stderr: String,
}

impl Ran {
    /// Itself, where it succeeded.
    ///
    /// # Errors
    /// It did not; the text holds all it printed.
    pub fn success(self) -> Result<Self> {
        if self.code == 0 {
            return Ok(self);
        }
        bail!("exit code {}\n{}{}", self.code, self.stdout, self.stderr)
    }

    /// Everything it printed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// `remount-lab status --json`, as far as it is read here.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// The database deployments and the control plane's.
    pub deployments: Vec<DeploymentStatus>,
}

/// One deployment.
#[derive(Clone, Debug, Deserialize)]
pub struct DeploymentStatus {
    /// Its name.
    pub name: String,
    /// Its instances.
    pub instances: Vec<InstanceStatus>,
}

/// One instance.
#[derive(Clone, Debug, Deserialize)]
pub struct InstanceStatus {
    /// Its group.
    pub group: String,
    /// Its id.
    pub id: String,
    /// Its index.
    pub index: u32,
    /// Its address.
    pub ip: String,
    /// Its VM; none where it has none.
    pub vm: Option<String>,
    /// The disk the Director has recorded.
    pub disk: Option<String>,
    /// `running`, `stopped`, ….
    pub job_state: Option<String>,
}

/// A landscape that is up.
#[derive(Debug)]
pub struct Landscape {
    program: PathBuf,
    dir: PathBuf,
}

impl Landscape {
    /// Brings one up in `dir`; `arguments` go to `remount-lab up`. Its progress goes to standard error.
    ///
    /// # Errors
    /// The command's own.
    pub async fn up(program: &Path, dir: &Path, arguments: &[&str]) -> Result<Self> {
        let landscape = Self::at(program, dir);
        let mut command = landscape.command(&["up"]);
        command.args(arguments).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        finish(command, "remount-lab up").await?.success().context("bring up the landscape")?;
        Ok(landscape)
    }

    /// One that is up already.
    #[must_use]
    pub fn at(program: &Path, dir: &Path) -> Self {
        Self { program: program.to_owned(), dir: dir.to_owned() }
    }

    /// Takes it down and removes its folder.
    ///
    /// # Errors
    /// The command's own.
    pub async fn down(self) -> Result<()> {
        self.lab(&["down"]).await?.success().context("take the landscape down").map(drop)
    }

    /// The folder it lives in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs a `remount-lab` command and keeps what it prints.
    ///
    /// # Errors
    /// It cannot be run, or does not end in time.
    pub async fn lab(&self, arguments: &[&str]) -> Result<Ran> {
        finish(self.command(arguments), &format!("remount-lab {}", arguments.join(" "))).await
    }

    /// Runs a `remount` command on the control VM.
    ///
    /// # Errors
    /// It cannot be run, or does not end in time.
    pub async fn remount(&self, arguments: &[&str]) -> Result<Ran> {
        let all: Vec<&str> = ["remount", "--"].iter().chain(arguments).copied().collect();
        self.lab(&all).await
    }

    /// Runs a shell line on an instance, as root.
    ///
    /// # Errors
    /// It cannot be run, or does not end in time.
    pub async fn shell(&self, instance: &str, line: &str) -> Result<Ran> {
        self.lab(&["exec", instance, "--", "/bin/bash", "-c", line]).await
    }

    /// What is where.
    ///
    /// # Errors
    /// The command's own, or an answer of another shape.
    pub async fn status(&self) -> Result<Status> {
        let ran = self.lab(&["status", "--json"]).await?.success()?;
        serde_json::from_str(&ran.stdout).context("read the landscape's status")
    }

    /// One instance.
    ///
    /// # Errors
    /// There is none.
    pub async fn instance(&self, deployment: &str, index: u32) -> Result<InstanceStatus> {
        let status = self.status().await?;
        let of = status.deployments.into_iter().find(|d| d.name == deployment);
        let found = of.and_then(|d| d.instances.into_iter().find(|i| i.index == index));
        found.with_context(|| format!("the landscape has no instance {deployment}/{index}"))
    }

    /// Where the server of an instance answers its customer.
    ///
    /// # Errors
    /// There is no such instance, or no password for its customer.
    pub async fn endpoint(&self, deployment: &str, index: u32) -> Result<Endpoint> {
        let address = self.instance(deployment, index).await?.ip;
        let secret = self.lab(&["secret", deployment]).await?.success()?;
        let password = Password(secret.stdout.trim().to_owned());
        Ok(Endpoint { address, port: 5432, user: "app".into(), password, database: "app".into() })
    }

    /// A `remount-lab` command, not run yet: for those that are to be killed.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--dir").arg(&self.dir).args(arguments).stdin(Stdio::null());
        command.kill_on_drop(true);
        command
    }
}

async fn finish(mut command: Command, name: &str) -> Result<Ran> {
    let output = timeout(COMMAND_LIMIT, command.output()).await;
    let output = output.with_context(|| format!("{name} did not end within {COMMAND_LIMIT:?}"))?;
    let output = output.with_context(|| format!("run {name}"))?;
    Ok(Ran {
        code: exit_code(output.status),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

pub(super) fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
