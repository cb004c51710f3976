#!/bin/bash
# The manifests of a published version, from its tag: an older release is deployed as it was meant to be.
#
#   ci/tasks/published-source.sh RELEASE SOURCE
#
# RELEASE holds remount-<version>.tgz; SOURCE is the folder for `manifests`.
set -euo pipefail
checkout="$(realpath "$(dirname "$0")/../..")"
# shellcheck source=ci/lib.sh
source "$checkout/ci/lib.sh"
[ $# -eq 2 ] || { manual; exit 2; }
name="$(basename "$(tarball "$1")" .tgz)"
tools git=git
here() { git -C "$checkout" -c safe.directory="$checkout" "$@"; }
here rev-parse --quiet --verify "v${name#remount-}^{commit}" > /dev/null ||
  refuse "this checkout has no tag v${name#remount-}: it was fetched before the tag was pushed, fetch it again"
mkdir -p "$2"
here archive "v${name#remount-}" manifests | tar -x -C "$2"
say "the manifests of ${name#remount-} are in $2"
