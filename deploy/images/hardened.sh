# Sourced by check.sh and rehearse.sh: runs containers of our images with nothing that they do not need.
# shellcheck shell=bash

TAG=${TAG:-$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)}
PREFIX=${PREFIX:-localhost/concilium-}
HARDENED=(--read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges --user 10001:10001)
ENGINE=(podman)

image() {
  printf '%s%s:%s' "$PREFIX" "$1" "$TAG"
}

# The engine as it works on this machine. Where control groups are closed or mixed (a container in a container, a build
# machine), containers run without them, and limits of memory and processes are then not enforced.
find_engine() {
  local probe
  probe=$(image server)
  "${ENGINE[@]}" image exists "$probe" || { echo "no image $probe; run deploy/images/build.sh first" >&2; exit 1; }
  "${ENGINE[@]}" run --rm "${HARDENED[@]}" "$probe" true 2>/dev/null && return
  HARDENED+=(--cgroups=disabled --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --no-healthcheck)
  "${ENGINE[@]}" run --rm "${HARDENED[@]}" --network none "$probe" true 2>/dev/null && return
  # shellcheck disable=SC2016 # the inner shell expands it
  ENGINE=(unshare --mount --propagation private sh -c
    'umount /sys/fs/cgroup/unified 2>/dev/null; exec podman "$@"' podman)
  "${ENGINE[@]}" run --rm "${HARDENED[@]}" --network none "$probe" true
  echo "note: no control groups here, so limits of memory and processes are not enforced" >&2
}

# hardened [OPTION...] IMAGE COMMAND...
hardened() {
  "${ENGINE[@]}" run --rm "${HARDENED[@]}" "$@"
}
