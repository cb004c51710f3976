#!/bin/bash
# The second half of the rehearsal: damages the data, restores it to the noted time as a pipeline does (by the errand's
# properties), and checks the rows, that they can be written, and that the standby follows.
#
#   ci/tasks/restore.sh ENVIRONMENT REHEARSAL
#
# ENVIRONMENT has a file `deployment`; REHEARSAL is what backup.sh has left. Everything that was written to the
# database since then is gone afterwards. The Director stops and starts it: two workers have to be free.
#
# Environment: BOSH_ENVIRONMENT, BOSH_CLIENT, BOSH_CLIENT_SECRET, BOSH_CA_CERT; BOSH_ALL_PROXY.
set -euo pipefail
checkout="$(realpath "$(dirname "$0")/../..")"
# shellcheck source=ci/lib.sh
source "$checkout/ci/lib.sh"
[ $# -eq 2 ] || { manual; exit 2; }
need BOSH_ENVIRONMENT BOSH_CLIENT BOSH_CLIENT_SECRET
deployment="$(< "$1/deployment")"
time="$(< "$2/time")"
expected="$(< "$2/rows")"
tools ruby=ruby ssh=openssh-client
bosh_cli

primary="$(primary "$deployment")"
sql "$deployment" "$primary" <<< 'truncate remount_rehearsal; insert into remount_rehearsal (id) values (-1)'
damaged="$(sql "$deployment" "$primary" <<< "$ROWS")"
[ "$damaged" != "$expected" ] || { say "the damage cannot be seen: this would prove nothing"; exit 1; }

# As it was deployed, and with the request; mktemp makes it 0600, it holds credentials.
manifest="$(mktemp)"
trap 'rm -f "$manifest"' EXIT
bosh -d remount manifest > "$manifest"
bosh -n -d remount deploy "$manifest" --ops-file="$checkout/manifests/ops/restore-to-time.yml" \
  --var="restore_deployment=$deployment" --var="restore_time='$time'"
outcome=0
bosh -n -d remount run-errand restore || outcome=$?
# Before anything else: a later run would restore once more.
bosh -n -d remount deploy "$manifest"
[ "$outcome" = 0 ] || { say "the errand failed; its last lines name the restore, docs/runbook.md says what then"; exit 1; }

primary="$(primary "$deployment")"
restored="$(sql "$deployment" "$primary" <<< "$ROWS")"
[ "$restored" = "$expected" ] || { say "wrong rows: $restored, not $expected"; exit 1; }
sql "$deployment" "$primary" <<< 'insert into remount_rehearsal default values'
streaming="$(sql "$deployment" "$primary" <<< "select count(*) from pg_stat_replication where state = 'streaming'")"
[ "$streaming" -ge 1 ] || { say "no standby streams"; exit 1; }
say "restored to $time: $restored; it can be written, $streaming standby streams"
