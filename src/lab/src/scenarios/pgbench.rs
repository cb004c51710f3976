//! pgbench as the load beside a backup.

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

use super::ledger::Endpoint;

/// pgbench beside the ledger.
#[derive(Debug)]
pub struct Pgbench(Child);

impl Pgbench {
    const PROGRAM: &str = "/usr/lib/postgresql/15/bin/pgbench";

    fn command(endpoint: &Endpoint) -> Command {
        let mut command = Command::new(Self::PROGRAM);
        command.env("PGPASSWORD", &endpoint.password.0).env("PGUSER", &endpoint.user);
        command.env("PGHOST", &endpoint.address).env("PGDATABASE", &endpoint.database);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).kill_on_drop(true);
        command
    }

    /// Prepares its tables and begins.
    ///
    /// # Errors
    /// It cannot be run.
    pub async fn start(endpoint: &Endpoint) -> Result<Self> {
        let prepared =
            Self::command(endpoint).args(["-i", "-q", "-s", "5"]).status().await.context("run pgbench")?;
        ensure!(prepared.success(), "pgbench could not prepare its tables");
        let child = Self::command(endpoint).args(["-c", "4", "-T", "600"]).spawn().context("run pgbench")?;
        Ok(Self(child))
    }

    /// Ends it, if it still runs as it should.
    ///
    /// # Errors
    /// It had ended by itself: something failed.
    pub async fn stop(&mut self) -> Result<()> {
        ensure!(self.0.try_wait()?.is_none(), "pgbench ended before it was told to");
        self.0.kill().await.context("stop pgbench")
    }
}
