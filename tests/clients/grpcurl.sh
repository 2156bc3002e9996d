#!/usr/bin/env bash
# Calls Daybook with grpcurl, or a program that takes its command line: TEST_GRPCURL, the one in PATH,
# or the one that `tests/run --full` installs.
set -uo pipefail
# shellcheck source=tests/clients/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

grpcurl=${TEST_GRPCURL:-$(command -v grpcurl || echo "$root/target/clients/bin/grpcurl")}
if [ ! -x "$grpcurl" ]; then
  echo "no grpcurl here: left to 'tests/run --full', which builds one"
  exit 0
fi

call() { # METHOD JSON [TOKEN]
  local more=()
  [ -z "${3:-}" ] || more+=(-H "authorization: Bearer $3")
  timeout "$bound" "$grpcurl" -plaintext "${more[@]}" -d "$2" "$address" "$1"
}

# grpcurl shows the details in full. grpcurl-rs shows only that an ErrorInfo is there: from it, the
# code has to do.
reason() {
  local told
  told=$(cat)
  case $told in
    *'"reason":'*) sed -n 's/.*"reason": *"\([A-Z_]*\)".*/\1/p' <<<"$told" | head -n 1 ;;
    *"Code: Aborted"*google.rpc.ErrorInfo*) echo SLOT_TAKEN ;;
    *"Code: InvalidArgument"*google.rpc.ErrorInfo*google.rpc.BadRequest*) echo INVALID_FIELDS ;;
    *"Code: Unauthenticated"*google.rpc.ErrorInfo*) echo NOT_AUTHENTICATED ;;
  esac
}

services() {
  local told
  told=$("$grpcurl" -plaintext "$address" list) &&
    [[ $told == *"$auth"* && $told == *"$booking"* && $told == *"$schedule"* ]]
}

described() {
  local told
  told=$("$grpcurl" -plaintext "$address" describe "$booking.BookAppointment") &&
    [[ $told == *BookAppointmentRequest* ]]
}

start_server
case_ "grpcurl: the services are listed" services
case_ "grpcurl: a method is described" described
story grpcurl
close
