#!/bin/bash
# Makes a final release of a candidate: of the very tarball that was tested, not of a second build.
#
#   ci/tasks/finalize.sh RELEASE FINALIZED FINAL
#
# RELEASE holds the candidate (remount-1.3.0-rc.4.tgz becomes 1.3.0). FINALIZED is the folder for a clone of this
# checkout with a commit of .final_builds/ and releases/, not pushed; FINAL gets remount-1.3.0.tgz and the file `tag`.
#
# Environment:
#   BLOBSTORE_OPTIONS     YAML: the secret options of the blobstore in config/final.yml (access_key_id, …)
#   GIT_NAME, GIT_EMAIL   who commits
set -euo pipefail
checkout="$(realpath "$(dirname "$0")/../..")"
# shellcheck source=ci/lib.sh
source "$checkout/ci/lib.sh"
[ $# -eq 3 ] || { manual; exit 2; }
need BLOBSTORE_OPTIONS GIT_NAME GIT_EMAIL
candidate="$(realpath "$(tarball "$1")")"
finalized="$(realpath -m "$2")"
final="$(realpath -m "$3")"
tools ruby=ruby git=git
bosh_cli
ruby --disable-gems -ryaml -e 'exit !YAML.load_file(ARGV[0]).dig("blobstore", "provider").nil?' "$checkout/config/final.yml" ||
  refuse "config/final.yml names no blobstore for final releases: see \"Set it\" in ci/README.md"

of="$(bosh inspect-local-release "$candidate" --json | column version)"
version="${of%%-*}"
[ "$version" != "$of" ] || refuse "$candidate is $of, which is no candidate"

git -c safe.directory='*' clone --quiet "$checkout" "$finalized"
mkdir -p "$final"
cd "$finalized"
# The blobstore's secrets: for this step alone, for us alone, and never in git (.gitignore).
trap 'rm -f "$finalized/config/private.yml"' EXIT
(umask 077 && ruby -ryaml -e "puts YAML.dump({ 'blobstore' => { 'options' => YAML.safe_load(STDIN.read) } })" \
  <<< "$BLOBSTORE_OPTIONS" > config/private.yml)

bosh finalize-release "$candidate" --version="$version"
bosh create-release "releases/remount/remount-$version.yml" --tarball="$final/remount-$version.tgz"
rm -f config/private.yml

git add .final_builds releases
git -c user.name="$GIT_NAME" -c user.email="$GIT_EMAIL" commit --quiet --message "release: $version, of candidate $of"
printf 'v%s\n' "$version" > "$final/tag"
say "finalized $of as $version"
