#!/usr/bin/env bash
# One federated round from the built images: a coordinator and two centers, each on its own address, over TLS.
#   deploy/images/rehearse.sh [FOLDER]     as root; needs podman, iproute2, the images. FOLDER is kept, else removed
#
# Enrol, join, launch and read the result with the commands of deploy/README.md. Every container has a read-only root,
# no capability and uid 10001; the trainers have no network at all, the nodes no data.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=deploy/images/hardened.sh
source deploy/images/hardened.sh

CENTERS=(center-a center-b)
NET=concilium-$$
NAME=coordinator.test
ENDPOINT=$NAME:4443
COORDINATOR_IP=10.79.0.1
LIMIT_S=${LIMIT_S:-900}

work=${1:-}
if [[ -z "$work" ]]; then
  work=$(mktemp -d)
  remove=("$work")
fi
mkdir -p "$work"
work=$(realpath "$work")
started=()

finish() {
  local code=$?
  set +e
  ((code == 0)) || show_logs
  ((${#started[@]} == 0)) || "${ENGINE[@]}" rm --force --time 10 "${started[@]}" >/dev/null 2>&1
  for host in coordinator "${CENTERS[@]}" switch; do ip netns delete "$NET-$host" 2>/dev/null; done
  rm -rf "${remove[@]}"
}
trap finish EXIT

show_logs() {
  local name
  for name in "${started[@]}"; do
    echo "---- $name" >&2
    "${ENGINE[@]}" logs --tail 15 "$name" 2>&1 | cut -c1-200 >&2
  done
}

# A switch and one namespace a host, without a default route.
lay_out() {
  local host number=1
  ip netns add "$NET-switch"
  ip -n "$NET-switch" link add name bridge type bridge
  ip -n "$NET-switch" link set bridge up
  for host in coordinator "${CENTERS[@]}"; do
    ip netns add "$NET-$host"
    ip -n "$NET-switch" link add "port$number" type veth peer name eth0 netns "$NET-$host"
    ip -n "$NET-switch" link set "port$number" master bridge up
    ip -n "$NET-$host" address add "10.79.0.$number/24" dev eth0
    ip -n "$NET-$host" link set eth0 up
    ip -n "$NET-$host" link set lo up
    number=$((number + 1))
  done
}

# start NAME OPTION... IMAGE COMMAND...: a container that stays
start() {
  local name=$NET-$1
  shift
  started+=("$name")
  "${ENGINE[@]}" run --detach --name "$name" "${HARDENED[@]}" "$@" >/dev/null
}

at() {
  printf -- '--network=ns:/run/netns/%s-%s' "$NET" "$1"
}

say() {
  printf '%(%H:%M:%S)T  %s\n' -1 "$*"
}

# admin COMMAND...: the coordinator's commands, in its network
admin() {
  hardened "$(at coordinator)" --volume "$work/study:/study" --volume "$work/answers:/answers" "$(image server)" "$@"
}

write_inputs() {
  mkdir -p "$work"/{study,answers,cohort,nothing}
  cat >"$work/study.toml" <<TOML
name = "rehearsal"
title = "Rehearsal of the images"
formed_by = "synthetic cohort"
synthetic = true
seed = 5
[model]
name = "pemma-unetr-tiny"
[adapter]
method = "lora"
rank = 2
alpha = 4
[preprocessing]
spacing_zyx_mm = [10.0, 10.0, 10.0]
pet_window_suv = [0.0, 15.0]
crop_zyx = [16, 16, 16]
[centers.center-a]
[centers.center-b]
[[stages]]
name = "adapt"
kind = "adapt"
centers = ["center-a", "center-b"]
rounds = 1
local_steps = 2
learning_rate = 1e-3
TOML
  chown -R 10001:10001 "$work"
  hardened --network none --volume "$work:/work" "$(image client)" python -c \
    'from pathlib import Path; from client.data.synthetic import write_synthetic_cohort
write_synthetic_cohort(Path("/work/cohort"), seed=7)'
}

start_coordinator() {
  hardened --network none --volume "$work:/work" "$(image client)" \
    concilium study init /work/study.toml --out /work/study --endpoint "$ENDPOINT"
  local tls=(--volume "$work/study/authority/ca.crt:/tls/ca.crt:ro"
    --volume "$work/study/server/server.crt:/tls/server.crt:ro"
    --volume "$work/study/server/server.key:/tls/server.key:ro")
  local secret=(--volume "$work/study/link/superexec.secret:/run/secrets/superexec:ro")
  local flower=(python -P -m server.runs.flower_programs)
  local hidden=(--volume /dev/null:/study/authority/ca.key:ro --volume /dev/null:/study/server/server.key:ro)
  start superlink "$(at coordinator)" "${tls[@]}" "${secret[@]}" --volume "$work/study/link:/study/link" \
    --volume "$work/study/run:/study/run" --env FLWR_HOME=/study/link/flwr "$(image server)" \
    "${flower[@]}" superlink /study --host=private-sockets --ssl-ca-certfile=/tls/ca.crt --ssl-certfile=/tls/server.crt \
    --ssl-keyfile=/tls/server.key --enable-supernode-auth --isolation=process \
    --superexec-auth-secret-file=/run/secrets/superexec --disable-runtime-dependency-installation \
    --database=/study/link/link.db
  start superexec "$(at coordinator)" "${secret[@]}" --volume "$work/study:/study" "${hidden[@]}" \
    --volume "$work/nothing:/study/link:ro" --volume "$work/nothing:/study/kits:ro" \
    --volume "$work/nothing:/study/run/control:ro" --volume "$work/nothing:/study/run/fleet:ro" \
    --volume "$work/nothing:/study/enrolment:ro" --volume "$work/nothing:/study/mlflow:ro" \
    --env FLWR_HOME=/tmp/flwr "$(image server)" \
    "${flower[@]}" superexec /study --runtime-api-address=localhost:443 --root-certificates=/study/authority/ca.crt \
    --superexec-auth-secret-file=/run/secrets/superexec
  start watchdog "$(at coordinator)" --volume "$work/study:/study" "${hidden[@]}" "$(image server)" \
    concilium watchdog /study
  start proxy "$(at coordinator)" "${tls[@]}" --volume "$work/study/run/fleet:/run/fleet" "$(image proxy)" serve
  wait_for 120 probe superlink socket:/study/run/control/link.sock
  wait_for 30 "${ENGINE[@]}" exec "$NET-proxy" /opt/proxy/start.sh probe
}

probe() {
  "${ENGINE[@]}" exec "$NET-$1" python -m deploy.images.probe "$2"
}

wait_for() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || { echo "gave up waiting for: $*" >&2; "$@"; return 1; }
    sleep 2
  done
}

# From outside the fleet's calls answer, and nothing else does.
check_the_door() {
  local path status
  for path in /v1/control/list-runs /v1/runtime/acquire-task /docs /openapi.json /health; do
    status=$(outside "$path")
    [[ "$status" == 403 ]] || { echo "$path answers $status from outside, expected 403" >&2; return 1; }
  done
  say "from outside /v1/control, /v1/runtime, /docs, /openapi.json and /health answer 403"
}

outside() {
  hardened "$(at center-a)" --add-host "$NAME:$COORDINATOR_IP" --volume "$work/study/authority/ca.crt:/ca.crt:ro" \
    "$(image server)" python -c "
import httpx, ssl
print(httpx.post('https://$ENDPOINT$1', verify=ssl.create_default_context(cafile='/ca.crt'), trust_env=False).status_code)"
}

join() {
  local center=$1 code=0
  mkdir -p "$work/$center"
  chown 10001:10001 "$work/$center"
  admin concilium enroll "$center" --study /study
  hardened "$(at "$center")" --add-host "$NAME:$COORDINATOR_IP" --volume "$work/$center:/center" \
    --volume "$work/study/kits/$center.kit:/kit:ro" "$(image client)" \
    concilium-center join /kit --home /center --minimum-cases 1 --prepare || code=$?
  ((code == 0)) || { echo "join --prepare of $center left with $code, expected 0: prepared" >&2; return 1; }
  cp --preserve=ownership "$work/$center/$center.answer" "$work/answers/"
  admin concilium enroll --accept "/answers/$center.answer" --study /study
  start "$center-trainer" --network none --volume "$work/cohort/$center:/data:ro" \
    --volume "$work/$center/trainer:/center/trainer" --volume "$work/$center/run:/center/run" "$(image client)" \
    concilium-center trainer --center "$center" --data /data --home /center/trainer \
    --socket /center/run/trainer.sock --terms /center/trainer/agreement.json --minimum-cases 1
  start "$center-node" "$(at "$center")" --add-host "$NAME:$COORDINATOR_IP" \
    --volume "$work/$center/node:/center/node" --volume "$work/$center/run:/center/run" "$(image client)" \
    concilium-center node --home /center
  wait_for 180 probe "$center-trainer" listening:/center/run/trainer.sock
  wait_for 120 probe "$center-node" grpc:127.0.0.1:9095
}

state() {
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["state"])' "$work/study/progress.json" 2>/dev/null
}

ended() {
  case $(state) in complete | failed | interrupted) return 0 ;; *) return 1 ;; esac
}

((EUID == 0)) || { echo "network namespaces need root" >&2; exit 1; }
find_engine
say "images: $(image client), $(image server), $(image proxy)"
write_inputs
lay_out
start_coordinator
say "the coordinator runs"
check_the_door
for center in "${CENTERS[@]}"; do
  join "$center"
  say "$center has joined: trainer without network, node without data"
done
admin concilium launch /study
wait_for "$LIMIT_S" ended
say "the study is $(state)"
admin concilium status /study
admin concilium bank list --bank /study/bank
hardened --network none --volume "$work/center-a:/center:ro" "$(image client)" concilium-center ledger --home /center
[[ "$(state)" == complete ]]
