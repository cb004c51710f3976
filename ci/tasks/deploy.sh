#!/bin/bash
# Deploys one version of Remount to a Director: the control plane, and a database of a primary and a standby.
#
#   ci/tasks/deploy.sh ENVIRONMENT MANIFESTS RELEASE STEMCELL BPM-RELEASE
#
# ENVIRONMENT has a file `deployment` with the database's name; MANIFESTS is the `manifests` of the version that
# is deployed; the other folders hold a tarball each. Run again with another version it upgrades.
#
# Environment: BOSH_ENVIRONMENT, BOSH_CLIENT, BOSH_CLIENT_SECRET, BOSH_CA_CERT; BOSH_ALL_PROXY.
#   VARS           YAML: the manifests' variables (director, cloud, store, persistent_disk_mib, …; see the comments
#                  at their top). The deployments' names are added here.
#   REMOUNT_OPS    ops files for remount.yml, names below MANIFESTS, separated by spaces
#   POSTGRES_OPS   the same for postgres.yml
set -euo pipefail
here="$(realpath "$(dirname "$0")/..")"
# shellcheck source=ci/lib.sh
source "$here/lib.sh"
[ $# -eq 5 ] || { manual; exit 2; }
need BOSH_ENVIRONMENT BOSH_CLIENT BOSH_CLIENT_SECRET VARS
deployment="$(< "$1/deployment")"
manifests="$2"
release="$(tarball "$3")"
tools ruby=ruby
bosh_cli

# mktemp makes it 0600; it holds the store's and the Director's credentials.
vars="$(mktemp)"
trap 'rm -f "$vars"' EXIT
printf '%s\n' "${VARS:?}" > "$vars"

bosh -n upload-stemcell "$(tarball "$4")"
bosh -n upload-release "$(tarball "$5")"
bosh -n upload-release "$release"
version="$(bosh inspect-local-release "$release" --json | column version)"
say "deploying remount $version"

# Deploys MANIFEST as NAME, with these ops files. The version is pinned: `latest` could be another run's.
deploy() {
  local name="$1" manifest="$2" ops=() op
  for op in $3; do ops+=("--ops-file=$manifests/$op"); done
  bosh -n -d "$name" deploy "$manifests/$manifest" "${ops[@]}" --ops-file="$here/ops/pin-release.yml" \
    --vars-file="$vars" --var="release_version=$version" --var="deployment_name=$deployment" \
    --var="backup_deployments=[$deployment]"
}

# The databases first, the control plane last: docs/upgrade.md says why.
deploy "$deployment" postgres.yml "${POSTGRES_OPS:-}"
deploy remount remount.yml "${REMOUNT_OPS:-}"
