#!/usr/bin/env bash
# Runs every block of README.md and of the guides as it stands there, except for the port. Each document has a server
# and a folder of its own, which its first block starts. The blocks that ask run in order, in one shell, in that
# folder. A block that starts another server gets a folder for itself, and is asked whether it serves. A block of a kind
# that is not listed here fails, and so does a document without blocks.
set -uo pipefail
# shellcheck source=tests/clients/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

find_grpcurl
for program in jq openssl setpriv setsid; do
  command -v "$program" >/dev/null || die "there is no $program: tests/run installs it"
done
buf=${TEST_BUF:-$root/tests/clients/node/node_modules/.bin/buf}
python=${TEST_PYTHON:-$root/target/clients/venv/bin/python}
[ -x "$buf" ] && [ -x "$python" ] || die "there is no buf, or no Python with packages: tests/run installs them"
postgres=
for folder in /usr/lib/postgresql/*/bin; do
  [ ! -x "$folder/initdb" ] || postgres=$folder
done
[ -n "$postgres" ] || die "there is no PostgreSQL: tests/run installs it"

documents=(README.md docs/integrators.md docs/accounts.md docs/operators.md docs/live.md)

# --- the blocks ---

mkdir "$work/bin"
ln -s "$grpcurl" "$work/bin/grpcurl"
ln -s "$daybook" "$work/bin/daybook"
ln -s "$buf" "$work/bin/buf"
# What `cargo run` runs.
cat >"$work/bin/cargo" <<SHIM
#!/bin/sh
[ "\$1" = run ] || exit 64
shift
[ "\${1:-}" != -- ] || shift
exec "$daybook" "\$@"
SHIM
chmod +x "$work/bin/cargo"

# Writes the blocks of a document into a folder: 01.sh, 02.json and so on. What has no language is `text`. A fence that is
# indented, or of `~`, is `other`, which is of no kind.
blocks() { # DOCUMENT FOLDER
  awk -v folder="$2" '
    !inside && /^[ \t>]*(```|~~~)/ {
      language = /^```/ ? substr($0, 4) : "other"
      gsub(/[^a-z]/, "-", language)
      file = sprintf("%s/%02d.%s", folder, ++n, language == "" ? "text" : language)
      printf "" > file
      close(file)
      inside = 1
      next
    }
    /^[ \t>]*(```|~~~)/ { inside = 0; close(file); next }
    inside { print >> file }
  ' "$1"
}

# What kind of block this is. `begins` starts the server of the document, `serves` another one, `asks` runs to its end.
kind() {
  case ${1##*.}:$(cat "$1") in
    'sh:cargo run  '* | 'sh:daybook  '*) echo begins ;;
    'sh:DAYBOOK_DATABASE_URL=postgres://daybook:secret@127.0.0.1:5432/daybook daybook') echo serves_postgres ;;
    'sh:DAYBOOK_MAIL_SMTP_URL='*' daybook \'*) echo serves ;;
    'sh:daybook --set '*tls_key_file*) echo serves_tls ;;
    'sh:daybook --set '*) echo serves ;;
    sh:*'openssl rand'*'daybook --profile production') echo serves ;;
    sh:*grpcurl\ * | sh:*'buf curl '* | sh:*'call "$'* | 'sh:daybook '[a-z]*) echo asks ;;
    json:*) echo is_the_answer ;;
    yaml:readinessProbe:*) echo probes ;;
    'python:keys = jwt.'*) echo checks_tokens ;;
    'text:0 3 1 * *  '*) echo is_for_cron ;;
    *) echo is_of_no_known_kind ;;
  esac
}

# --- those that serve ---

# The groups of processes that were begun and go on: each block that serves is one.
serving=
main_group=

stop() { # GROUP
  kill -KILL -- "-$1" && wait "$1"
} 2>/dev/null
finish_all() {
  local group
  for group in $serving $main_group; do stop "$group"; done
  finish
}
trap finish_all EXIT
: >"$work/log"

# Begins a block in a folder, waits until it serves, and sets `address` and `serving`.
begin() { # FOLDER BLOCK
  mkdir -p "$1"
  # Each listens on a free port. All else is as in the document.
  (cd "$1" && PATH=$work/bin:$PATH DAYBOOK_SERVER_LISTEN=127.0.0.1:0 exec setsid bash -euo pipefail "$2") \
    >"$1/out" 2>"$1/log" </dev/null &
  serving=$!
  local until=$((SECONDS + bound))
  address=
  while [ -z "$address" ]; do
    kill -0 "$serving" 2>/dev/null || { cat "$1/out" "$1/log"; return 1; }
    [ "$SECONDS" -lt "$until" ] || { echo "does not listen"; return 1; }
    address=$(sed -n 's/^Daybook listens on \([^,]*\),.*/\1/p' "$1/out")
  done
  until "$daybook" healthcheck --address "${3:-http}://$address" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || { cat "$1/log"; return 1; }
  done
}
serves() { # BLOCK [SCHEME]
  local status=0 address
  begin "${1%.*}.d" "$1" "${2:-http}" || status=1
  stop "$serving"
  serving=
  return $status
}
serves_tls() {
  mkdir -p "${1%.*}.d"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 60 -subj /CN=localhost \
    -addext subjectAltName=IP:127.0.0.1 -keyout "${1%.*}.d/tls.key" -out "${1%.*}.d/tls.crt" 2>/dev/null &&
    serves "$1" https
}
serves_postgres() {
  local port status=0 cluster="$work/pg" as=() running
  # Below the ports that the system gives to whoever asks for any, so that nobody takes it meanwhile.
  port=$(python3 - <<'EOF'
import random, socket
while True:
    port = random.randrange(20000, 32000)
    try:
        socket.create_server(("127.0.0.1", port)).close()
        break
    except OSError:
        pass
print(port)
EOF
  )
  mkdir "$cluster"
  if [ "$EUID" -eq 0 ]; then
    chmod 711 "$work"
    chown postgres: "$cluster"
    as=(--reuid postgres --regid postgres --clear-groups)
  fi
  (cd "$cluster" && setpriv "${as[@]}" -- "$postgres/initdb" -D data -A trust -U postgres --no-sync) || return
  (cd "$cluster" && exec setpriv --pdeathsig QUIT "${as[@]}" -- "$postgres/postgres" -D data -p "$port" -k "$cluster" \
    -c listen_addresses=127.0.0.1 -c fsync=off) &
  running=$!
  local until=$((SECONDS + bound))
  until "$postgres/pg_isready" -q -h 127.0.0.1 -p "$port"; do
    [ "$SECONDS" -lt "$until" ] || { echo "PostgreSQL does not start"; status=1; break; }
  done
  for sql in "CREATE ROLE daybook LOGIN PASSWORD 'secret'" "CREATE DATABASE daybook OWNER daybook"; do
    "$postgres/psql" -q -h 127.0.0.1 -p "$port" -U postgres -c "$sql" || status=1
  done
  sed -i "s/:5432/:$port/" "$1"
  [ $status -ne 0 ] || serves "$1" || status=1
  kill -QUIT "$running" && wait "$running"
  return $status
}

# --- the others ---

# The server of the document goes on for those that ask. `tests/run` is what runs this.
begins() {
  if grep -qxE 'cargo run +#.*' <(sed -n 1p "$1"); then
    grep -qxE 'tests/run +#.*' <(sed -n 2p "$1") && [ -x "$root/tests/run" ] && sed -i '2d' "$1" || return
  fi
  [ -z "$main_group" ] && [ "$(wc -l <"$1")" -eq 1 ] && begin "$first" "$1" || return
  main=$address main_group=$serving serving= began=$SECONDS
}
is_of_no_known_kind() {
  cat "$1"
  return 1
}
asks() {
  [ -e "${1%.sh}.done" ] || { cat "${1%.sh}.out" 2>/dev/null; return 1; }
}
# The block before it says what this one shows.
is_the_answer() {
  local number
  number=$(basename "$1" .json)
  number=$(printf '%s/%02d' "${1%/*}" $((10#$number - 1)))
  [ -e "$number.done" ] || { echo "there is no answer to compare"; return 1; }
  says "$1" "$number.out"
}
probes() {
  local service
  grep -qx 'livenessProbe:' "$1" || return
  for service in "" "$(sed -n 's/.*service: *\([a-z]*\).*/\1/p' "$1")"; do
    [ "$("$grpcurl" -plaintext -d "{\"service\":\"$service\"}" "$main" grpc.health.v1.Health/Check |
      pick status)" = SERVING ] || return
  done
}
checks_tokens() {
  PYTHONPATH=$root/tests/clients/python "$python" - "$1" "$main" <<'PYTHON'
import pathlib, sys, tempfile

import grpc, jwt
import suite

folder = tempfile.TemporaryDirectory()
suite.generate(pathlib.Path(folder.name))
from daybook.auth.v1 import auth_pb2, auth_pb2_grpc

auth = auth_pb2_grpc.AuthServiceStub(grpc.insecure_channel(sys.argv[2]))
exec(open(sys.argv[1], encoding="utf-8").read())
begun = auth.LogIn(auth_pb2.LogInRequest(email="ada@example.org", password="correct horse"))
claims = check(begun.access_token)
assert claims["sub"] == begun.user.name.removeprefix("users/"), claims
head, body, signature = begun.access_token.split(".")
for wrong in (f"{head}.{body}.{signature[::-1]}", begun.refresh_token):
    try:
        raise SystemExit(f"a wrong token was taken: {check(wrong)}")
    except jwt.InvalidTokenError:
        pass
PYTHON
}
is_for_cron() {
  # `%` is special in a crontab, and the five fields before are the time.
  printf 'sqlite:%s' "$first/daybook.db" >"$work/owner-url"
  sed -i -e 's/^0 3 1 \* \*  //' -e 's/\\%/%/g' -e "s#/etc/daybook/owner-url#$work/owner-url#" "$1"
  (cd "$first" && PATH=$work/bin:$PATH timeout "$bound" bash -euo pipefail "$1")
}

# In one shell, so that they share their variables. The first admin's password comes from standard input. A key that
# is to sign must have been published for some time, here for ten seconds. Nothing of the developer's own settings.
for name in "${!DAYBOOK_@}"; do unset "$name"; done
export DAYBOOK_AUTH_SIGNING_KEY_LEAD_SECONDS=10
ask() {
  local block
  for block in "$folder"/*.sh; do
    [ "$(kind "$block")" = asks ] || continue
    echo "exec >'${block%.sh}.out' 2>&1"
    ! grep -q '^daybook keys rotate  ' "$block" || echo "sleep $((began + 12 > SECONDS ? began + 12 - SECONDS : 0))"
    sed "s/127\.0\.0\.1:50051/$main/g" "$block"
    echo "echo done >'${block%.sh}.done'"
  done >"$folder/all"
  (cd "$first" && PATH=$work/bin:$PATH timeout 120 bash -euo pipefail "$folder/all" \
    <<<'correct horse')
}

# All blocks of a document, each a case. The first server of the document is stopped at its end.
document() { # DOCUMENT
  local file what began folder="$work/${1//\//-}" main='' first
  first="$folder/first"
  mkdir "$folder"
  blocks "$root/$1" "$folder"
  [ -n "$(ls "$folder")" ] || case_ "$1: has blocks" false
  for file in $(find "$folder" -maxdepth 1 -type f | sort); do
    what=$(kind "$file")
    case_ "$1: block $(basename "${file%.*}"), which ${what//_/ }" "$what" "$file"
    [ "$what" != begins ] || ask
  done
  [ ! -e "$first/log" ] || cat "$first/log" >>"$work/log"
  [ -z "$main_group" ] || stop "$main_group"
  main_group=
}

for name in "${documents[@]}"; do
  document "$name"
done
close
