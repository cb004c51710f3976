//! What a deploy leaves on the VMs: hooks that have said that all is well, and secrets that only their users can read.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::test_landscape::{DEPLOYMENT, PRIMARY, STANDBY, TestLandscape};

const CONTROL: &str = "remount/remount/0";

async fn said(landscape: &TestLandscape, instance: &str, line: &str) -> Result<String> {
    Ok(landscape.lab.shell(instance, line).await?.success()?.stdout)
}

/// A job's configuration.
async fn config(landscape: &TestLandscape, instance: &str, path: &str) -> Result<Value> {
    let text = said(landscape, instance, &format!("cat /var/vcap/jobs/{path}")).await?;
    serde_json::from_str(&text).with_context(|| format!("read {path}"))
}

/// The strings at these places, and the first line of each private key.
async fn secrets(landscape: &TestLandscape, instance: &str, places: &[(&str, &str)]) -> Result<Vec<String>> {
    let mut secrets = Vec::new();
    for (path, pointer) in places {
        let config = config(landscape, instance, path).await?;
        let secret = config.pointer(pointer).and_then(Value::as_str);
        secrets.push(secret.with_context(|| format!("{path} has no {pointer}"))?.to_owned());
    }
    let key = "sed -n 2p /var/vcap/jobs/*/config/*private-key.pem | sort -u";
    secrets.extend(said(landscape, instance, key).await?.lines().map(str::to_owned));
    ensure!(secrets.len() > places.len(), "there is no private key on {instance}");
    Ok(secrets)
}

/// What others can read there, what was logged, and what `ps` shows: none of it may hold a secret.
async fn shows_no_secret(landscape: &TestLandscape, instance: &str, places: &[(&str, &str)]) -> Result<()> {
    let secrets = secrets(landscape, instance, places).await?;
    let files = "find /var/vcap/jobs /var/vcap/data /var/vcap/sys /var/vcap/store/remount \
        -path /var/vcap/data/packages -prune -o -type f";
    for (what, line) in [
        ("a file that others can read", format!("{files} -perm /o+rwx -exec cat {{}} +")),
        ("a log", "cat /var/vcap/sys/log/*/*".to_owned()),
        ("a process's arguments or environment", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ".to_owned()),
    ] {
        // A process or file may go between the look and the reading.
        let text =
            landscape.lab.shell(instance, &format!("{line} 2>/dev/null; true")).await?.success()?.stdout;
        let shown = secrets.iter().position(|secret| text.contains(secret.as_str()));
        ensure!(shown.is_none(), "{what} on {instance} holds secret {shown:?} of {places:?} and keys");
    }
    let rendered = said(landscape, instance, "stat -c %U:%G:%a /var/vcap/jobs/*/config/* | sort -u").await?;
    ensure!(rendered.trim() == "root:vcap:640", "rendered files are {rendered}");
    Ok(())
}

#[tokio::test]
async fn hooks_have_looked_and_secrets_are_closed() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    let told = said(&landscape, CONTROL, "cat /var/vcap/sys/log/remount/post-deploy.stdout.log").await?;
    for part in ["director: ", "store: ", "agents: ", "cloud: "] {
        ensure!(told.contains(part), "{part} is not in\n{told}");
    }
    for errand in ["restore", "backup"] {
        let log = format!("cat /var/vcap/sys/log/{errand}/pre-start.stdout.log");
        ensure!(said(&landscape, CONTROL, &log).await?.contains("configuration: it is valid"), "{errand}");
    }
    for instance in [PRIMARY, STANDBY] {
        let told =
            said(&landscape, instance, "cat /var/vcap/sys/log/remount-agent/post-deploy.stderr.log").await?;
        ensure!(told.contains("the object store accepts what this instance writes"), "{told}");
    }
    landscape.back_up().await?;
    let checked = landscape.lab.remount(&["check", "--json"]).await?.success()?;
    ensure!(
        checked.stdout.contains(&format!("the signing key fits the 1 backups of {DEPLOYMENT}")),
        "{}",
        checked.text()
    );

    let database = [
        ("postgres/config/postgres.json", "/replication/password"),
        ("postgres/config/postgres.json", "/roles/0/password"),
    ];
    shows_no_secret(&landscape, PRIMARY, &database).await?;
    shows_no_secret(&landscape, STANDBY, &database).await?;
    let control = [
        ("remount/config/store.json", "/signing/private_key"),
        ("remount/config/remount.json", "/director/password"),
    ];
    shows_no_secret(&landscape, CONTROL, &control).await?;
    let passfile = said(&landscape, STANDBY, "stat -c %U:%G:%a /var/vcap/data/postgres/pgpass").await?;
    ensure!(passfile.trim() == "vcap:vcap:600", "libpq's password file is {passfile}");
    landscape.down().await
}
