#!/bin/bash
# The first half of the rehearsal: writes rows, takes a backup, writes more, and notes what a restore has to bring back.
#
#   ci/tasks/backup.sh ENVIRONMENT REHEARSAL
#
# ENVIRONMENT has a file `deployment`. REHEARSAL is the folder for `time` (the target) and `rows` (what is there then).
# It makes the table `remount_rehearsal` in the database `postgres`, and touches no other.
#
# Environment: BOSH_ENVIRONMENT, BOSH_CLIENT, BOSH_CLIENT_SECRET, BOSH_CA_CERT; BOSH_ALL_PROXY.
set -euo pipefail
# shellcheck source=ci/lib.sh
source "$(dirname "$0")/../lib.sh"
[ $# -eq 2 ] || { manual; exit 2; }
need BOSH_ENVIRONMENT BOSH_CLIENT BOSH_CLIENT_SECRET
deployment="$(< "$1/deployment")"
mkdir -p "$2"
tools ruby=ruby ssh=openssh-client
bosh_cli

primary="$(primary "$deployment")"
sql "$deployment" "$primary" <<< 'create table if not exists remount_rehearsal (id bigserial primary key, at timestamptz default now());
insert into remount_rehearsal select from generate_series(1, 1000);'
bosh -n -d remount run-errand backup
# These are in the WAL alone: without replay they are lost.
sql "$deployment" "$primary" <<< 'insert into remount_rehearsal select from generate_series(1, 1000)'

sql "$deployment" "$primary" <<< "$ROWS" > "$2/rows"
# The server's clock, after its last commit: the target.
sql "$deployment" "$primary" <<< "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')" > "$2/time"
say "at $(< "$2/time"): $(< "$2/rows")"
