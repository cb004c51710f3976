#!/bin/bash
# Takes away what earlier runs have left on the Director, and names the database's deployment for the next.
#
#   ci/tasks/clear.sh ENVIRONMENT
#
# Deletes the deployments `remount` and `pg-ci-…` and every orphaned disk: for a Director that nobody else uses.
# ENVIRONMENT is the folder for the file `deployment`. Each run has a name of its own, because the store remembers
# a cluster: a restore that was left half done would else be in the way of the next run.
#
# Environment: BOSH_ENVIRONMENT, BOSH_CLIENT, BOSH_CLIENT_SECRET, BOSH_CA_CERT, as the CLI has them; BOSH_ALL_PROXY.
set -euo pipefail
# shellcheck source=ci/lib.sh
source "$(dirname "$0")/../lib.sh"
[ $# -eq 1 ] || { manual; exit 2; }
need BOSH_ENVIRONMENT BOSH_CLIENT BOSH_CLIENT_SECRET
tools ruby=ruby
bosh_cli

deployments="$(bosh deployments --json | column name)"
while read -r deployment; do
  # A deployment that cannot be deleted properly is of no use to anybody any more.
  bosh -n -d "$deployment" delete-deployment < /dev/null || bosh -n -d "$deployment" delete-deployment --force < /dev/null
done < <(grep -E '^(remount|pg-ci-.*)$' <<< "$deployments" || true)
bosh -n clean-up --all

mkdir -p "$1"
printf 'pg-ci-%(%Y%m%d%H%M%S)T\n' -1 > "$1/deployment"
say "the next run's deployment is $(< "$1/deployment")"
