//! The fault proxy before a cluster's agents.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use remount_postgres::AGENT_TLS_NAME;
use serde_json::{Value, json};

use super::super::cluster::{Cluster, DEPLOYMENT};
use super::super::landscape::{InstanceStatus, Landscape};
use super::super::remount_process::RemountProcess;
use crate::folder::write_private;
use remount_faultproxy::{Identity, Proxy, ProxyConfig, Script, Upstream, UpstreamTls};

/// Ports that were free on one address may be taken on the next: so often others are tried.
const PORTS_TRIED: u32 = 20;

/// Proxies before the agents of a cluster, and a configuration that leads a process to them.
#[derive(Debug)]
pub struct BeforeAgents {
    primary: Proxy,
    _standby: Proxy,
    config: PathBuf,
}

impl BeforeAgents {
    /// Stands before both agents; an answer of the primary's gets lost.
    ///
    /// # Errors
    /// A VM is gone, or no port is free.
    pub async fn losing(cluster: &Cluster, path: &str, skip: u32) -> Result<Self> {
        Self::begin(cluster, json!([{"path": path, "after": skip, "fault": {"kind": "drop_after"}}])).await
    }

    /// Stands before both agents; the primary's is not asked, and seems to refuse for good.
    ///
    /// # Errors
    /// A VM is gone, or no port is free.
    pub async fn refusing(cluster: &Cluster, path: &str) -> Result<Self> {
        let body = json!({"code": "not_primary", "message": "the lab refuses"}).to_string();
        let fault = json!({"kind": "status", "status": 409, "body": body, "upstream": "never"});
        Self::begin(cluster, json!([{"path": path, "fault": fault}])).await
    }

    /// On a port of its own of their addresses.
    async fn begin(cluster: &Cluster, fault: Value) -> Result<Self> {
        let control = cluster.root_of(&cluster.lab.instance("remount", 0).await?)?;
        let rendered = control.join("var/vcap/jobs/remount/config/remount.json");
        let text = fs::read_to_string(&rendered).context("read the configuration of the job remount")?;
        let mut config: Value = serde_json::from_str(&text).context("read remount.json")?;
        let port = config["agents"]["port"].as_u64().context("remount.json names no port of the agents")?;
        let instances =
            [cluster.lab.instance(DEPLOYMENT, 0).await?, cluster.lab.instance(DEPLOYMENT, 1).await?];
        let scripts = [Script::from_json(fault)?, Script::default()];
        let [primary, standby] = proxies(cluster, &control, &instances, &scripts, port)?;
        config["agents"]["port"] = json!(primary.address().port());
        let file = cluster.folder.0.join("proxied.json");
        write_private(&file, &config.to_string())?;
        Ok(Self { primary, _standby: standby, config: file })
    }

    /// A `remount` process on the control VM that asks the agents through the proxies.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn remount(&self, lab: &Landscape, arguments: &[&str]) -> Result<RemountProcess> {
        let config = self.config.to_string_lossy();
        let remount = [
            "exec",
            "remount/remount/0",
            "--",
            "/var/vcap/packages/remount/bin/remount",
            "--config",
            &config,
        ];
        RemountProcess::start_as(lab, &remount, arguments, false)
    }

    /// Goes away.
    ///
    /// # Errors
    /// No answer was lost: nothing was proved.
    pub fn end(self) -> Result<()> {
        fs::remove_file(&self.config).context("remove the configuration")?;
        let lost = self.primary.requests().into_iter().any(|served| served.fault.is_some());
        ensure!(lost, "no answer was lost: the agent was not asked");
        Ok(())
    }
}

fn proxies(
    cluster: &Cluster,
    control: &Path,
    instances: &[InstanceStatus; 2],
    scripts: &[Script; 2],
    agents_port: u64,
) -> Result<[Proxy; 2]> {
    let before = |index: usize, port: u16| -> Result<Proxy> {
        let instance = &instances[index];
        let tls = UpstreamTls {
            ca_file: control.join("var/vcap/jobs/remount/config/agents-ca.pem"),
            name: Some(AGENT_TLS_NAME.into()),
            identity: Some(identity(control, "remount", "agents-")),
        };
        let url = format!("https://{}:{agents_port}", instance.ip);
        let mut config = ProxyConfig::new(Upstream::new(&url, Some(&tls))?, scripts[index].clone());
        config.identity = Some(identity(&cluster.root_of(instance)?, "remount-agent", ""));
        config.listen = SocketAddr::new(address(instance)?, port);
        Ok(Proxy::start(config)?)
    };
    for _ in 0..PORTS_TRIED {
        let free = TcpListener::bind((address(&instances[0])?, 0)).context("look for a free port")?;
        let port = free.local_addr().context("look for a free port")?.port();
        drop(free);
        let primary = before(0, port)?;
        if let Ok(standby) = before(1, port) {
            return Ok([primary, standby]);
        }
    }
    bail!("no port is free on both {} and {}", instances[0].ip, instances[1].ip)
}

fn address(instance: &InstanceStatus) -> Result<IpAddr> {
    instance.ip.parse().with_context(|| format!("{} is no address", instance.ip))
}

/// A job's certificate and key, as the VM has them.
fn identity(root: &Path, job: &str, prefix: &str) -> Identity {
    let config = root.join("var/vcap/jobs").join(job).join("config");
    Identity {
        certificate_file: config.join(format!("{prefix}certificate.pem")),
        private_key_file: config.join(format!("{prefix}private-key.pem")),
    }
}
