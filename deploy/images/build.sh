#!/usr/bin/env bash
# Builds the images and prints their sizes. No registry of images is needed: --debootstrap makes the base itself.
#
#   deploy/images/build.sh [IMAGE...] [OPTION...]
#     IMAGE                client, server, mlflow, proxy; all four where none is named
#     --debootstrap        make the base with debootstrap (as root) instead of pulling debian:bookworm-slim
#     --base IMAGE         another base: Debian bookworm, or what has its packages
#     --torch BACKEND      build of torch in the client image: cpu, cu130, ...; the registry's own where left out (CUDA)
#     --wheels DIR         a folder of wheels to install from first (buildah only); PIP_FIND_LINKS where left out
#     --ca FILE            certificates to trust while building, where a proxy re-signs TLS; they do not enter the image
#     --tag TAG            pyproject.toml's version where left out
#     --prefix NAME        localhost/concilium- where left out: localhost/concilium-client, ...
#     --tool TOOL          buildah or docker; the first that is there where left out
set -euo pipefail
self=$(realpath "${BASH_SOURCE[0]}")
cd "$(dirname "$self")/../.."

BASE_NAME=localhost/concilium-base:bookworm
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
images=() base="" torch="${TORCH_BACKEND:-}" wheels="${PIP_FIND_LINKS:-}" ca="" prefix=localhost/concilium- tool=""
tag=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

# Mounts and caches of a build belong to the tool; what a build leaves of ours is this one folder.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

usage() {
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$self"
}

make_base() {
  echo "base: debootstrap of bookworm" >&2
  debootstrap --variant=minbase --include=ca-certificates bookworm "$work/root" "$MIRROR" \
    >"$work/debootstrap.log" 2>&1 || { tail -20 "$work/debootstrap.log" >&2; return 1; }
  echo "deb $MIRROR bookworm-updates main" >>"$work/root/etc/apt/sources.list"
  echo "deb ${MIRROR%/debian*}/debian-security bookworm-security main" >>"$work/root/etc/apt/sources.list"
  # As debian:bookworm-slim does: no manuals and no translations, licences kept, and neither come back with a package.
  printf 'path-exclude=/usr/share/%s\n' 'man/*' 'info/*' 'locale/*' 'doc/*' >"$work/root/etc/dpkg/dpkg.cfg.d/slim"
  echo 'path-include=/usr/share/doc/*/copyright' >>"$work/root/etc/dpkg/dpkg.cfg.d/slim"
  find "$work/root/usr/share/doc" -type f ! -name copyright -delete
  rm -rf "$work"/root/usr/share/{man,info,locale}/* "$work"/root/var/{cache/apt,lib/apt/lists,log}/*
  if [[ $tool == docker ]]; then
    tar -C "$work/root" -c . | docker import - "$BASE_NAME" >/dev/null
  else
    local container
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/root" / >/dev/null
    buildah config --cmd /bin/bash "$container"
    buildah commit --quiet --rm "$container" "$BASE_NAME" >/dev/null
  fi
  rm -rf "$work/root"
}

build_with_buildah() {
  local options=(--format docker --layers --network host --build-arg "PIP_FIND_LINKS=")
  [[ -z "$wheels" ]] || options+=(--volume "$(realpath "$wheels"):/wheels:ro" --build-arg PIP_FIND_LINKS=/wheels)
  BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}" buildah bud "${options[@]}" "$@" .
}

build_with_docker() {
  docker buildx build --load "$@" .
}

build() {
  local name=$1 options=()
  [[ -z "$base" ]] || options+=(--build-arg "BASE=$base")
  [[ -z "$ca" ]] || options+=(--secret "id=ca,src=$ca")
  [[ $name != client ]] || options+=(--build-arg "TORCH_BACKEND=$torch")
  "build_with_$tool" "${options[@]}" --build-arg "VERSION=$tag" --build-arg "REVISION=$revision" \
    --tag "$prefix$name:$tag" --file "deploy/images/$name.Containerfile"
}

print_sizes() {
  local name
  for name in "$@"; do
    if [[ $tool == docker ]]; then
      docker image ls --format '{{.Repository}}:{{.Tag}} {{.Size}}' "$prefix$name:$tag"
    else
      buildah images --format '{{.Name}}:{{.Tag}} {{.Size}}' "$prefix$name:$tag"
    fi
  done
}

debootstrapped=""
while (($#)); do
  case $1 in
    client | server | mlflow | proxy) images+=("$1") ;;
    --debootstrap) debootstrapped=yes ;;
    --base) base=$2; shift ;;
    --torch) torch=$2; shift ;;
    --wheels) wheels=$2; shift ;;
    --ca) ca=$2; shift ;;
    --tag) tag=$2; shift ;;
    --prefix) prefix=$2; shift ;;
    --tool) tool=$2; shift ;;
    *) echo "unknown argument '$1'; usage:" >&2; usage >&2; exit 2 ;;
  esac
  shift
done
((${#images[@]})) || images=(client server mlflow proxy)
if [[ -z "$tool" ]]; then
  tool=$(command -v buildah >/dev/null && echo buildah || echo docker)
fi
command -v "$tool" >/dev/null || { echo "neither buildah nor docker is here; apt install buildah" >&2; exit 1; }
if [[ -n "$debootstrapped" ]]; then
  make_base
  base=$BASE_NAME
fi
for image in "${images[@]}"; do
  build "$image"
done
print_sizes "${images[@]}"
