//! Arrows between crates point down only.
//!
//! | layer | crates | may link, of ours |
//! |---|---|---|
//! | programs | `remount-agent`, `remount-wal`, `remount-cli`, `remount-scheduler` | everything below |
//! | flows | `remount-flow` | saga engine, adapters, host, core |
//! | saga engine | `remount-saga` | core alone: it is tied to no kind of run |
//! | adapters | `remount-cloud`, `-director`, `-postgres`, `-store`, `-fleet` | host, core |
//! | base | `remount-host` | core |
//! | core | `remount-core` | nothing |
//! | beside | `remount-sim` | all below the flows, whose tests link it; itself only in tests |
//! | beside | `remount-faultproxy` | nothing; itself in tests and in the lab |
//! | beside | `remount-lab` | everything but programs; itself only in tests |
//! | beside | `xtask` | nothing |

use anyhow::Result;

use super::{Report, read};
use crate::workspace::{Dependency, Kind, Package, Workspace};

/// A crate's place; from `Core` to `Program` a lower one may be linked from a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Core,
    Host,
    Adapter,
    Saga,
    Flow,
    Program,
    Sim,
    FaultProxy,
    Lab,
    Xtask,
}

/// Every crate of ours and its layer.
const LAYERS: [(&str, Layer); 17] = [
    ("remount-core", Layer::Core),
    ("remount-host", Layer::Host),
    ("remount-cloud", Layer::Adapter),
    ("remount-director", Layer::Adapter),
    ("remount-fleet", Layer::Adapter),
    ("remount-postgres", Layer::Adapter),
    ("remount-store", Layer::Adapter),
    ("remount-saga", Layer::Saga),
    ("remount-flow", Layer::Flow),
    ("remount-agent", Layer::Program),
    ("remount-cli", Layer::Program),
    ("remount-scheduler", Layer::Program),
    ("remount-wal", Layer::Program),
    ("remount-sim", Layer::Sim),
    ("remount-faultproxy", Layer::FaultProxy),
    ("remount-lab", Layer::Lab),
    ("xtask", Layer::Xtask),
];

/// All that the core may link: it has no clock, no randomness, no input or output.
const LIBRARIES_OF_CORE: [&str; 4] = ["jiff", "serde", "serde_json", "thiserror"];

/// Libraries that open connections: a flow gets its adapters as traits.
const NETWORK: [&str; 8] =
    ["axum", "hyper", "hyper-util", "opendal", "reqwest", "tokio-postgres", "tokio-rustls", "ureq"];

/// What stands on the database's VM holds neither cloud nor Director credentials, so it links neither.
const ON_THE_DATABASE_VM: [&str; 2] = ["remount-agent", "remount-wal"];
const NOT_ON_THE_DATABASE_VM: [&str; 4] =
    ["remount-cloud", "remount-director", "remount-flow", "remount-saga"];

/// Checks every arrow of the workspace.
pub(super) fn check(workspace: &Workspace, report: &mut Report<'_>) -> Result<()> {
    for package in &workspace.packages {
        let manifest = package.folder.join("Cargo.toml");
        let text = read(&manifest)?.unwrap_or_default();
        let Some(layer) = layer_of(&package.name) else {
            let told = format!("{} has no layer: give it one in src/xtask/src/tidy/layers.rs", package.name);
            report.add(&manifest, 1, "layer", told);
            continue;
        };
        for dependency in &package.dependencies {
            if let Some(reason) = fault(package, layer, dependency) {
                report.add(&manifest, line_of(&text, &dependency.name), "layer", reason);
            }
        }
    }
    Ok(())
}

fn layer_of(name: &str) -> Option<Layer> {
    LAYERS.iter().find(|(ours, _)| *ours == name).map(|(_, layer)| *layer)
}

/// Why the package may not depend on this; none where it may.
fn fault(package: &Package, layer: Layer, dependency: &Dependency) -> Option<String> {
    let (from, to) = (&package.name, &dependency.name);
    if dependency.ours {
        fault_of_arrow(from, layer, dependency)
    } else {
        fault_of_library(from, layer, to, dependency.kind)
    }
}

fn fault_of_arrow(from: &str, layer: Layer, dependency: &Dependency) -> Option<String> {
    let to = dependency.name.as_str();
    let target = layer_of(to)?;
    if to == from {
        return None; // A crate's tests turn on its own features this way.
    }
    let is_for_tests = matches!(target, Layer::Sim | Layer::FaultProxy | Layer::Lab);
    if is_for_tests && dependency.kind == Kind::Tests && layer != Layer::Xtask {
        return None;
    }
    if ON_THE_DATABASE_VM.contains(&from) && NOT_ON_THE_DATABASE_VM.contains(&to) {
        return Some(format!("{from} runs on the database's VM, where {to} has no business"));
    }
    match (layer, target) {
        (Layer::Xtask | Layer::FaultProxy, _) => Some(format!("{from} links nothing of ours, not {to}")),
        (_, Layer::Program | Layer::Xtask) => Some(format!("{to} is a program: nobody imports it")),
        (Layer::Lab, Layer::FaultProxy | Layer::Sim) => None,
        (_, Layer::Lab | Layer::Sim | Layer::FaultProxy) => {
            Some(format!("{to} may be a dev-dependency only"))
        }
        (Layer::Saga, other) if other != Layer::Core => {
            Some(format!("{from} is tied to no kind of run: it links the core alone, not {to}"))
        }
        (Layer::Sim, Layer::Flow) => Some(format!("{from} lies below {to}, whose tests link it")),
        _ if target < layer => None,
        _ => Some(format!("the arrow from {from} to {to} does not point down")),
    }
}

fn fault_of_library(from: &str, layer: Layer, library: &str, kind: Kind) -> Option<String> {
    if kind == Kind::Tests {
        return None;
    }
    if layer == Layer::Core && !LIBRARIES_OF_CORE.contains(&library) {
        return Some(format!("the core links {} only, not {library}", LIBRARIES_OF_CORE.join(", ")));
    }
    if layer == Layer::Flow && NETWORK.contains(&library) {
        return Some(format!("a flow opens no socket: {library} belongs into an adapter"));
    }
    if library.starts_with("aws-") && from != "remount-cloud" {
        return Some(format!("{library} is linked by remount-cloud alone"));
    }
    None
}

/// The line of a manifest that names a dependency, from 1.
fn line_of(manifest: &str, dependency: &str) -> usize {
    let names = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    manifest.lines().position(names).map_or(1, |index| index + 1)
}
