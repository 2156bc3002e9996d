#!/usr/bin/env bash
# Runs the blocks of docs/practice.md in order, as they stand there, and looks for the answers that are
# shown after them. Needs grpcurl (found as in grpcurl.sh) and jq.
set -uo pipefail
# shellcheck source=tests/clients/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

find_grpcurl
command -v jq >/dev/null || die "there is no jq: tests/run installs it"

# The blocks become files: 01.sh, and 01.json with the answers shown before the next one. Each script is
# told from its answers by a line, so that all of them can run in one shell and share its variables.
mkdir "$work/blocks" "$work/bin"
ln -s "$grpcurl" "$work/bin/grpcurl"
ln -s "$daybook" "$work/bin/daybook"
awk -v folder="$work/blocks" '
  /^```sh$/ { file = sprintf("%s/%02d.sh", folder, ++n); next }
  /^```json$/ { file = sprintf("%s/%02d.json", folder, n); next }
  /^```/ { file = ""; next }
  file { print >> file }
' "$root/docs/practice.md"
for block in "$work"/blocks/*.sh; do
  echo "exec >'${block%.sh}.out' 2>&1"
  cat "$block"
  echo "echo done >'${block%.sh}.done'"
done >"$work/all.sh"

# Whether a block ran to its end, and said every line that is shown, in that order, as far as its first `…`.
block() { # NUMBER
  local said="$work/blocks/$1.out"
  [ -e "$work/blocks/$1.done" ] || {
    cat "$said" 2>/dev/null
    return 1
  }
  [ -e "$work/blocks/$1.json" ] || return 0
  says "$work/blocks/$1.json" "$said"
}

start_server
(cd "$work" && PATH=$work/bin:$PATH SERVER=$address timeout "$bound" bash -euo pipefail all.sh)
for script in "$work"/blocks/*.sh; do
  number=$(basename "$script" .sh)
  case_ "practice: block $number" block "$number"
done
close
