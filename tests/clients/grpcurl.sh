#!/usr/bin/env bash
# Calls Daybook with grpcurl, or a program that takes its command line, such as grpcurl-rs, which tests/run
# installs.
set -uo pipefail
# shellcheck source=tests/clients/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

find_grpcurl

call() { # METHOD JSON [TOKEN]
  local more=()
  [ -z "${3:-}" ] || more+=(-H "authorization: Bearer $3")
  [ -z "${details:-}" ] || more+=(-v)
  timeout "$bound" "$grpcurl" -plaintext "${more[@]}" -d "$2" "$address" "$1"
}

# The header that goes with every ErrorInfo: grpcurl-rs shows no details.
reason() {
  sed -n 's/^x-daybook-reason: //p'
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
