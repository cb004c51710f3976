#!/bin/bash
# Compiles every package as a compile VM would: in a bare chroot, without a network.
#
#   ci/tasks/compile-packages.sh [CACHE]
#
# CACHE is the folder for blobs and what is compiled; without it ~/.cache/remount. As root on Debian 12.
set -euo pipefail
checkout="$(realpath "$(dirname "$0")/../..")"
if [ -n "${1:-}" ]; then REMOUNT_CACHE="$(realpath -m "$1")"; export REMOUNT_CACHE; fi
"$checkout/scripts/setup"
"$checkout/scripts/vendor"
exec "$checkout/ci/compile-packages"
