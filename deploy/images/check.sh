#!/usr/bin/env bash
# Facts of the built images, one a line; exits with 1 where one is not as it should be. Needs podman and the images.
#   deploy/images/check.sh [--data DIR]      DIR: a folder of cases for `concilium-center check`
# shellcheck disable=SC2016 # the shells in the containers expand what stands in single quotes
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=deploy/images/hardened.sh
source deploy/images/hardened.sh

data=""
[[ ${1:-} != --data ]] || data=$(realpath "$2")
failures=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect WHAT COMMAND...: the command succeeds
expect() {
  local what=$1
  shift
  if "$@" >"$work/output" 2>&1; then
    echo "ok      $what"
  else
    echo "FAILED  $what"
    tail -5 "$work/output"
    failures=$((failures + 1))
  fi
}

refuse() {
  local what=$1
  shift
  expect "$what" not "$@"
}

not() {
  ! "$@"
}

size_mb() {
  echo $(($("${ENGINE[@]}" image inspect --format '{{.Size}}' "$(image "$1")") / 1000000))
}

no_secret_in_history() {
  local name=$1
  "${ENGINE[@]}" history --no-trunc --format '{{.CreatedBy}}' "$(image "$name")" >"$work/history"
  not grep -qiE 'BEGIN [A-Z ]*(PRIVATE KEY|CERTIFICATE)|ca-certificates\.crt|password=|token=' "$work/history"
}

# Private keys and authorities in the file system itself, but for Debian's own list and certifi's.
no_key_inside() {
  hardened --network none --entrypoint /bin/bash "$(image "$1")" -c '
    found=$(grep -rlE "BEGIN ([A-Z]+ )?PRIVATE KEY" / --include=*.pem --include=*.key --include=*.crt -s \
      --exclude-dir=proc --exclude-dir=sys || true)
    [[ -z "$found" && ! -s /run/ca.crt ]] || { echo "$found"; exit 1; }'
}

survives_save_and_load() {
  local name
  name=$(image "$1")
  podman save --quiet --output "$work/image.tar" "$name"
  podman load --quiet --input "$work/image.tar" | grep -qF "$name"
  rm "$work/image.tar"
}

find_engine
for name in client server mlflow proxy; do
  reference=$(image "$name")
  podman image exists "$reference" || { echo "FAILED  $name: not built"; failures=$((failures + 1)); continue; }
  echo "-- $name: $(size_mb "$name") MB"
  run=(hardened --network none --entrypoint /bin/bash "$reference" -c)
  expect "$name: runs as uid 10001" "${run[@]}" '[[ $(id -u) == 10001 ]]'
  expect "$name: the image itself says so" test "$(podman image inspect --format '{{.User}}' "$reference")" = 10001:10001
  refuse "$name: its root file system cannot be written" "${run[@]}" 'touch /x'
  expect "$name: no capability" "${run[@]}" 'grep -q "CapEff:.*0000000000000000" /proc/self/status'
  for tool in pip uv gcc cc make git curl; do
    refuse "$name: no $tool" "${run[@]}" "command -v $tool"
  done
  expect "$name: a health check" test "$(podman image inspect --format '{{.HealthCheck}}' "$reference")" != '<nil>'
  expect "$name: labels" test -n "$(podman image inspect --format '{{index .Labels "org.opencontainers.image.version"}}' "$reference")"
  expect "$name: no key, authority or token in its history" no_secret_in_history "$name"
  expect "$name: no private key inside" no_key_inside "$name"
done
expect "client: concilium-center --help" hardened --network none "$(image client)" concilium-center --help
expect "client: torch, monai, peft and SimpleITK are there" hardened --network none "$(image client)" \
  python -c 'import torch, monai, peft, SimpleITK'
expect "server: concilium --help" hardened --network none "$(image server)" concilium --help
refuse "server: no torch" hardened --network none "$(image server)" python -c 'import torch'
expect "server: Flower's SuperLink is 1.41" hardened --network none "$(image server)" \
  bash -c 'flower-superlink --version | grep -F 1.41.'
expect "mlflow: MLflow 3.17 with authentication and PostgreSQL" hardened --network none "$(image mlflow)" \
  python -c 'import flask_wtf, psycopg, mlflow; assert mlflow.__version__.startswith("3.17.")'
expect "proxy: nginx" hardened --network none --entrypoint nginx "$(image proxy)" -v
expect "server: save and load keep it" survives_save_and_load server
if [[ -n "$data" ]]; then
  expect "client: concilium-center check on a read-only folder of cases" \
    hardened --network none --volume "$data:/data:ro" "$(image client)" concilium-center check --data /data
fi
echo "$failures failed"
((failures == 0))
