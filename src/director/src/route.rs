//! The Director's routes. Whatever is not plain in a path or a query is escaped here and nowhere else.

use remount_core::{DeploymentName, DiskCid, InstanceSlug};

use crate::{Error, Result, StopKind, TaskId};

/// The longest `X-Bosh-Context-Id` that a Director takes (else 70010).
const LONGEST_CONTEXT: usize = 64;

pub(crate) const DEPLOYMENTS: &str =
    "/deployments?exclude_configs=true&exclude_releases=true&exclude_stemcells=true&exclude_lock=true";
pub(crate) const LOCKS: &str = "/locks";
pub(crate) const DISKS: &str = "/disks";

pub(crate) fn instances(deployment: &DeploymentName) -> String {
    format!("/deployments/{}/instances?format=full", escape(deployment.as_str()))
}

pub(crate) fn stop(deployment: &DeploymentName, instance: &InstanceSlug, kind: StopKind) -> Result<String> {
    let options = match kind {
        StopKind::Soft => "",
        StopKind::Hard => "?hard=true",
        StopKind::HardWithoutDrain => "?hard=true&skip_drain=true",
    };
    Ok(format!("{}/stop{options}", actions(deployment, instance)?))
}

pub(crate) fn start(deployment: &DeploymentName, instance: &InstanceSlug) -> Result<String> {
    Ok(format!("{}/start", actions(deployment, instance)?))
}

pub(crate) fn recreate(deployment: &DeploymentName, instance: &InstanceSlug) -> Result<String> {
    Ok(format!("{}/recreate?ignore_unresponsive_agent=true", actions(deployment, instance)?))
}

/// With `disk_properties=copy`: without it the record says 1 MiB, and the next deploy copies the data to a
/// new disk and drops this one.
pub(crate) fn attachment(
    deployment: &DeploymentName,
    instance: &InstanceSlug,
    disk: &DiskCid,
) -> Result<String> {
    Ok(format!(
        "/disks/{}/attachments?deployment={}&job={}&instance_id={}&disk_properties=copy",
        escape(disk.as_str()),
        escape(deployment.as_str()),
        escape(instance.group.as_str()),
        uuid(instance)?,
    ))
}

pub(crate) fn disk(disk: &DiskCid) -> String {
    format!("/disks/{}", escape(disk.as_str()))
}

pub(crate) fn task(task: TaskId) -> String {
    format!("/tasks/{task}")
}

/// Singular, unlike every other route of a task.
pub(crate) fn cancel(task: TaskId) -> String {
    format!("/task/{task}")
}

pub(crate) fn output(task: TaskId, kind: &str) -> String {
    format!("/tasks/{task}/output?type={kind}")
}

pub(crate) fn newest_tasks(deployment: &DeploymentName, limit: u32) -> String {
    format!("/tasks?deployment={}&limit={limit}&verbose=1", escape(deployment.as_str()))
}

pub(crate) fn open_tasks(deployment: &DeploymentName) -> String {
    format!("/tasks?deployment={}&state=queued,processing,cancelling&verbose=1", escape(deployment.as_str()))
}

/// The context of a change, as its header carries it.
pub(crate) fn context(text: &str) -> Result<&str> {
    let fits = (1..=LONGEST_CONTEXT).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        return Ok(text);
    }
    Err(Error::Config(format!("context `{text}` is not 1 to {LONGEST_CONTEXT} printable characters")))
}

fn actions(deployment: &DeploymentName, instance: &InstanceSlug) -> Result<String> {
    let (deployment, group) = (escape(deployment.as_str()), escape(instance.group.as_str()));
    Ok(format!("/deployments/{deployment}/instance_groups/{group}/{}/actions", uuid(instance)?))
}

/// The instance's id, which has to be a uuid: attach takes no index, and an index may name another
/// instance tomorrow.
fn uuid(instance: &InstanceSlug) -> Result<&str> {
    let text = instance.id.as_str();
    let fits = |(i, b): (usize, u8)| match i {
        8 | 13 | 18 | 23 => b == b'-',
        _ => b.is_ascii_hexdigit(),
    };
    if text.len() == 36 && text.bytes().enumerate().all(fits) {
        return Ok(text);
    }
    Err(Error::Config(format!("`{instance}` does not end in the instance's uuid (see `bosh instances`)")))
}

/// Percent-encodes all but RFC 3986's unreserved characters, so that one text is one path segment or one
/// query value. A dot alone would be taken for a step in the path.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    if escaped.bytes().all(|b| b == b'.') { escaped.replace('.', "%2E") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug(id: &str) -> InstanceSlug {
        InstanceSlug { group: "postgres".parse().unwrap(), id: id.parse().unwrap() }
    }

    #[test]
    fn an_azure_cid_stays_one_path_segment() {
        let cid = "caching:None;disk_name:bosh-disk-data-1;resource_group_name:rg".parse().unwrap();
        let path = attachment(&"pg".parse().unwrap(), &slug("0f5a3b52-9d3c-4b8e-8c11-2f2f3a4b5c6d"), &cid);
        assert_eq!(
            path.unwrap(),
            "/disks/caching%3ANone%3Bdisk_name%3Abosh-disk-data-1%3Bresource_group_name%3Arg/attachments\
             ?deployment=pg&job=postgres&instance_id=0f5a3b52-9d3c-4b8e-8c11-2f2f3a4b5c6d&disk_properties=copy"
        );
        assert_eq!(disk(&"a/../b?c#d%".parse().unwrap()), "/disks/a%2F..%2Fb%3Fc%23d%25");
        assert_eq!(disk(&"..".parse().unwrap()), "/disks/%2E%2E");
    }

    #[test]
    fn an_index_is_no_instance() {
        for id in ["0", "0f5a3b52-9d3c-4b8e-8c11-2f2f3a4b5c6", "0f5a3b52x9d3c-4b8e-8c11-2f2f3a4b5c6d"] {
            assert!(start(&"pg".parse().unwrap(), &slug(id)).is_err(), "{id}");
        }
    }

    #[test]
    fn a_context_is_never_cut_but_refused() {
        assert!(context(&"x".repeat(64)).is_ok());
        for wrong in ["", "a b", "a\r\nEvil: 1", &"x".repeat(65)] {
            assert!(context(wrong).is_err(), "{wrong:?}");
        }
    }
}
