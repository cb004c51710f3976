#!/bin/bash
# Everything that the repository can say of itself: format, lints, house rules, templates, crates, the lab.
#
#   ci/tasks/test.sh [CACHE]
#
# CACHE is the folder for what is built and downloaded; without it ~/.cache/remount. As root on Debian 12:
# `scripts/setup` installs what is missing, and the lab mounts disks.
set -euo pipefail
checkout="$(realpath "$(dirname "$0")/../..")"
if [ -n "${1:-}" ]; then REMOUNT_CACHE="$(realpath -m "$1")"; export REMOUNT_CACHE; fi
exec "$checkout/scripts/test"
