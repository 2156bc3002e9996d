# What the shell clients share: the server in a folder of its own, the story that each client plays,
# and the counting. To be sourced. The client defines two functions:
#   call METHOD JSON [TOKEN]   sends one call; the answer goes to stdout, what was refused to stderr. With
#                              `details=yes` also what else the client tells of a refusal
#   reason                     reads all that and prints the reason of the refusal
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
daybook=${TEST_DAYBOOK:-$root/target/debug/daybook}
bound=30 # seconds that anything may take
passed=0
failed=0
work=$(mktemp -d -t daybook-shell-XXXXXX)
server=

finish() {
  [ -z "$server" ] || { kill -KILL "$server" && wait "$server"; } 2>/dev/null
  rm -rf "$work"
}
trap finish EXIT

die() {
  echo "$*" >&2
  exit 1
}

# Sets `grpcurl`: TEST_GRPCURL, the one that tests/run installs, or the one in PATH.
find_grpcurl() {
  grpcurl=${TEST_GRPCURL:-$root/target/clients/bin/grpcurl}
  [ -x "$grpcurl" ] || grpcurl=$(command -v grpcurl) || die "there is no grpcurl: tests/run installs it"
}

# Starts the binary on a free port and waits until it serves. Sets `address`.
start_server() {
  local name
  # Nothing of the developer's own settings.
  for name in "${!DAYBOOK_@}"; do unset "$name"; done
  : >"$work/out"
  (cd "$work" && exec "$daybook" --listen 127.0.0.1:0 --log-format text) >"$work/out" 2>"$work/log" </dev/null &
  server=$!
  SECONDS=0
  address=
  while [ -z "$address" ]; do
    kill -0 "$server" 2>/dev/null || die "the server did not start: $(cat "$work/log")"
    [ "$SECONDS" -lt "$bound" ] || die "the server does not listen"
    address=$(sed -n 's/^Daybook listens on \([^,]*\),.*/\1/p' "$work/out")
  done
  until "$daybook" healthcheck --address "http://$address" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$bound" ] || die "the server does not serve: $(cat "$work/log")"
  done
}

# pick PATH < JSON: the value at a path such as slots.0.startTime; `slots.#` is a length.
pick() {
  python3 -c '
import json, sys
value = json.load(sys.stdin)
for step in sys.argv[1].split("."):
    if step == "#":
        value = len(value)
    elif isinstance(value, list):
        value = value[int(step)]
    else:
        # A client may leave out what is empty.
        value = value.get(step, [])
print(value if isinstance(value, (str, int)) else json.dumps(value))
' "$1"
}

# day N: the date N days ahead, as JSON of google.type.Date.
day() {
  python3 -c '
import datetime, json, sys
day = datetime.date.today() + datetime.timedelta(days=int(sys.argv[1]))
print(json.dumps({"year": day.year, "month": day.month, "day": day.day}))
' "$1"
}

# says SHOWN SAID: whether the file SAID has every line of the file SHOWN, in that order, as far as the line's first `…`.
says() {
  python3 - "$1" "$2" <<'PYTHON'
import sys

shown, said = (open(path, encoding="utf-8").read().splitlines() for path in sys.argv[1:])
rest = ["".join(line.split()) for line in said]
for line in shown:
    wanted = "".join(line.rstrip(",").split("…")[0].split())
    if not wanted:
        continue
    at = next((number for number, line in enumerate(rest) if wanted in line), None)
    if at is None:
        sys.exit("\n".join([f"does not say, after what is shown before: {line}", *said]))
    rest = rest[at + 1 :]
PYTHON
}

# case_ NAME COMMAND…: runs the command and tells how it ended.
case_() {
  local name=$1
  shift
  if "$@" >"$work/said" 2>&1; then
    passed=$((passed + 1))
    echo "PASS $name"
  else
    failed=$((failed + 1))
    echo "FAIL $name"
    cat "$work/said"
  fi
}

# refused REASON METHOD JSON [TOKEN]: the call is refused for this reason.
refused() {
  local wanted=$1 told
  shift
  if details=yes call "$@" >"$work/answer" 2>"$work/refusal"; then
    echo "was not refused: $(cat "$work/answer")"
    return 1
  fi
  told=$(cat "$work/answer" "$work/refusal" | reason)
  [ "$told" = "$wanted" ] || {
    echo "refused for '$told', not '$wanted': $(cat "$work/refusal")"
    return 1
  }
}

auth=daybook.auth.v1.AuthService
booking=daybook.booking.v1.BookingService
schedule=daybook.booking.v1.ScheduleService

sign_up() { # NAME ROLE
  call "$auth/SignUp" "{\"display_name\":\"$1\",\"email\":\"$1@example.org\",\
\"password\":\"correct horse\",\"role\":\"$2\",\"time_zone\":\"Europe/Berlin\"}"
}
log_in() { # NAME
  call "$auth/LogIn" "{\"email\":\"$1@example.org\",\"password\":\"correct horse\"}"
}
availability() {
  call "$booking/GetAvailability" \
    "{\"provider\":\"$provider\",\"start_date\":$(day 2),\"end_date\":$(day 9)}" "$customer_token"
}
slot() { # the slot that is booked, as fields of a request
  echo "\"provider\":\"$provider\",\"start_time\":\"$start\",\"end_time\":\"$end\""
}

people_sign_up_and_log_in() {
  provider=$(sign_up "ada.$1" ROLE_PROVIDER | pick user.provider) &&
    [[ $provider == providers/* ]] &&
    [ "$(sign_up "cleo.$1" ROLE_CUSTOMER | pick user.role)" = ROLE_CUSTOMER ] &&
    sign_up "otto.$1" ROLE_CUSTOMER &&
    customer_token=$(log_in "cleo.$1" | pick accessToken) &&
    other_token=$(log_in "otto.$1" | pick accessToken) &&
    call "$schedule/GetProvider" "{\"name\":\"$provider\"}" "$customer_token"
}
a_slot_is_booked_and_gone() {
  local booked
  availability >"$work/before" &&
    start=$(pick slots.0.startTime <"$work/before") &&
    end=$(pick slots.0.endTime <"$work/before") &&
    booked=$(call "$booking/BookAppointment" "{$(slot),\"note\":\"by hand\"}" "$customer_token") &&
    [ "$(pick appointment.state <<<"$booked")" = STATE_BOOKED ] &&
    appointment=$(pick appointment.name <<<"$booked") &&
    availability >"$work/after" &&
    [ "$(pick slots.0.startTime <"$work/after")" != "$start" ] &&
    [ "$(pick 'slots.#' <"$work/after")" -eq $(($(pick 'slots.#' <"$work/before") - 1)) ]
}
a_cancelled_slot_is_back() {
  local cancelled
  cancelled=$(call "$booking/CancelAppointment" "{\"name\":\"$appointment\"}" "$customer_token") &&
    [ "$(pick appointment.state <<<"$cancelled")" = STATE_CANCELLED ] &&
    availability >"$work/after" &&
    [ "$(pick slots <"$work/after")" = "$(pick slots <"$work/before")" ]
}

# story LABEL: the README's calls from signing up to a slot that is free again.
story() {
  case_ "$1: people sign up and log in" people_sign_up_and_log_in "$1"
  case_ "$1: a slot is booked and gone" a_slot_is_booked_and_gone
  case_ "$1: a taken slot is refused" \
    refused SLOT_TAKEN "$booking/BookAppointment" "{$(slot)}" "$other_token"
  case_ "$1: bad fields are refused" refused INVALID_FIELDS "$auth/SignUp" '{"email":"nobody"}'
  case_ "$1: without a token nothing is told" refused NOT_AUTHENTICATED "$auth/GetMe" '{}'
  case_ "$1: a cancelled slot is back" a_cancelled_slot_is_back
  case_ "$1: a session goes on until it is logged out" a_session_goes_on_until_it_is_logged_out "$1"
  case_ "$1: health is told" healthy
}
a_session_goes_on_until_it_is_logged_out() {
  local login refresh next token
  login=$(log_in "cleo.$1") || return
  refresh=$(pick refreshToken <<<"$login")
  next=$(call "$auth/RefreshTokens" "{\"refresh_token\":\"$refresh\"}") || return
  token=$(pick accessToken <<<"$next")
  [ "$(call "$auth/ListSessions" '{}' "$token" | pick 'sessions.#')" -ge 2 ] || return
  call "$auth/LogOut" '{}' "$token" >/dev/null || return
  refused NOT_AUTHENTICATED "$auth/GetMe" '{}' "$token"
}
healthy() {
  [ "$(call grpc.health.v1.Health/Check '{}' | pick status)" = SERVING ]
}

# Prints the closing line; the script's exit status is that of this function.
close() {
  [ "$failed" -eq 0 ] || tail -n 20 "$work/log"
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
