# What the tasks share; sourced, not run.
# shellcheck shell=bash disable=SC2016 # what is in single quotes is Ruby, or expands on a VM

# Without this, a failure inside of $(…) is passed over.
shopt -s inherit_errexit

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }

# A sentence, and 2: wrong usage.
refuse() { say "$*"; exit 2; }

# The comment at the top of the script is its manual.
manual() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

# Refuses to go on without these variables; says all that are missing.
need() {
  local name missing=()
  for name in "$@"; do [ -n "${!name:-}" ] || missing+=("$name"); done
  [ "${#missing[@]}" -eq 0 ] || refuse "not set: ${missing[*]} (see ci/README.md)"
}

# Installs Debian packages that are missing, as PROGRAM=PACKAGE; in a task's container, where we are root.
tools() {
  local pair missing=()
  for pair in "$@"; do command -v "${pair%%=*}" > /dev/null || missing+=("${pair#*=}"); done
  [ "${#missing[@]}" -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || refuse "not installed: ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates "${missing[@]}" > /dev/null
}

# The bosh CLI: the one on the PATH, or in a task the download beside us, whose name carries its version.
bosh_cli() {
  command -v bosh > /dev/null && return 0
  local downloads=(bosh-cli/bosh-cli-*-linux-amd64) bin
  [ -f "${downloads[0]}" ] || refuse "there is no bosh on the PATH: https://bosh.io/docs/cli-v2-install"
  bin="$(mktemp -d)"
  install "${downloads[0]}" "$bin/bosh"
  PATH="$bin:$PATH"
}

# The only tarball of a folder.
tarball() {
  local found=("$1"/*.tgz)
  if [ "${#found[@]}" -ne 1 ] || [ ! -f "${found[0]}" ]; then refuse "$1 has to hold one .tgz"; fi
  printf '%s\n' "${found[0]}"
}

# One column of the first table of `bosh … --json`, a line per row.
column() { ruby --disable-gems -rjson -e 'puts JSON.parse($stdin.read).fetch("Tables").first["Rows"].to_a.map { |row| row.fetch(ARGV[0]) }' "$1"; }

# Runs SQL of stdin on an instance (or all of a group) of a deployment; one line per instance: name, tab, answer.
# The statement travels in base64: it passes two shells on its way.
sql_on() {
  local deployment="$1" slug="$2" statement
  statement="$(base64 -w 0)"
  bosh -d "$deployment" ssh "$slug" --results --json --command "cd / && echo $statement | base64 -d | sudo -u vcap \
\$(ls /var/vcap/packages/postgres-*/bin/psql | tail -n 1) -h /var/vcap/sys/run/postgres -U vcap -d postgres -XAtq -v ON_ERROR_STOP=1" |
    ruby --disable-gems -rjson -e '
      rows = JSON.parse($stdin.read).fetch("Tables").first.fetch("Rows")
      failed = rows.reject { |row| row.fetch("exit_code") == "0" }
      failed.each { |row| warn "#{row.fetch("instance")}: #{row.fetch("stderr")} #{row.fetch("error")}" }
      exit 1 unless failed.empty?
      rows.each { |row| puts "#{row.fetch("instance")}\t#{row.fetch("stdout").strip}" }'
}

# The instance that is no standby; there has to be exactly one.
primary() {
  local answers found
  answers="$(sql_on "$1" postgres <<< 'select pg_is_in_recovery()')"
  found="$(awk -F '\t' '$2 == "f" { print $1 }' <<< "$answers")"
  [ "$(grep -c . <<< "$found")" = 1 ] || { say "not one primary: ${answers//$'\n'/, }"; return 1; }
  printf '%s\n' "$found"
}

# SQL of stdin on one instance of a deployment; its answer alone.
sql() { sql_on "$1" "$2" | cut -f 2-; }

# What the rehearsal's table holds, in one line.
# shellcheck disable=SC2034 # for backup.sh and restore.sh
ROWS="select count(*) || ' rows, ' || coalesce(md5(string_agg(id::text, ',' order by id)), 'none') from remount_rehearsal"
