#!/bin/bash
# Makes the release tarball of this checkout, blobs included.
#
#   ci/tasks/create-release.sh VERSION RELEASE [CACHE]
#
# VERSION is a folder with a file `version` (1.3.0-rc.4), RELEASE the folder for remount-<version>.tgz, CACHE as for
# test.sh. As root on Debian 12, with `bosh` on the PATH.
set -euo pipefail
checkout="$(realpath "$(dirname "$0")/../..")"
# shellcheck source=ci/lib.sh
source "$checkout/ci/lib.sh"
[ $# -ge 2 ] || { manual; exit 2; }
[ -s "$1/version" ] || refuse "$1 has no file \`version\`"
version="$(< "$1/version")"
release="$(realpath -m "$2")"
if [ -n "${3:-}" ]; then REMOUNT_CACHE="$(realpath -m "$3")"; export REMOUNT_CACHE; fi
bosh_cli

mkdir -p "$release"
"$checkout/scripts/setup"
# What may be published is what the commit names, to the byte.
"$checkout/scripts/vendor" --locked
"$checkout/scripts/create-release" --version="$version" --tarball="$release/remount-$version.tgz"
say "made $release/remount-$version.tgz"
