#!/usr/bin/env bash
# Calls Daybook with `buf curl`, over gRPC and over gRPC-Web. It learns the messages by reflection.
set -uo pipefail
# shellcheck source=tests/clients/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

buf=${TEST_BUF:-$root/tests/clients/node/node_modules/.bin/buf}
[ -x "$buf" ] || die "there is no buf: tests/run installs it"

call() { # METHOD JSON [TOKEN]
  local more=()
  [ "$protocol" = grpcweb ] || more+=(--http2-prior-knowledge)
  [ -z "${3:-}" ] || more+=(-H "authorization: Bearer $3")
  timeout "$bound" "$buf" curl --protocol "$protocol" "${more[@]}" -d "$2" "http://$address/$1"
}

reason() {
  python3 -c '
import base64, json, sys
for detail in json.load(sys.stdin).get("details", []):
    if detail["type"] == "google.rpc.ErrorInfo":
        value = detail["value"]
        value = base64.b64decode(value + "=" * (-len(value) % 4))
        # Field 1 is the reason: a tag, a length, the text.
        print(value[2 : 2 + value[1]].decode())
'
}

services() {
  local told more=()
  [ "$protocol" = grpcweb ] || more+=(--http2-prior-knowledge)
  told=$("$buf" curl --protocol "$protocol" "${more[@]}" --list-services "http://$address") &&
    [[ $told == *"$auth"* && $told == *"$booking"* && $told == *"$schedule"* ]]
}

start_server
for protocol in grpc grpcweb; do
  case_ "$protocol: the services are listed" services
  story "$protocol"
done
close
