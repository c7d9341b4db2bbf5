#!/usr/bin/env bash
# Runs in the builder stage: installs into TARGET what WHAT names, at the versions of constraints.txt and at no other.
#   install.sh NAMES.in TARGET     the third-party packages
#   install.sh . TARGET            concilium itself, without its dependencies: the image's own list stands for them
# Reads PIP_FIND_LINKS (a folder of wheels), TORCH_BACKEND, and /run/ca.crt where the build was given that secret.
set -euo pipefail
what=$1 target=$2

if [[ -s /run/ca.crt ]]; then
  export PIP_CERT=/run/ca.crt SSL_CERT_FILE=/run/ca.crt
fi
export UV_FIND_LINKS="${PIP_FIND_LINKS:-}" UV_NO_CACHE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
export VIRTUAL_ENV=$target

if [[ ! -x /opt/build/bin/uv ]]; then
  python3 -m venv /opt/build
  /opt/build/bin/pip install --quiet --no-cache-dir "$(grep '^uv==' constraints.txt)"
fi
uv=/opt/build/bin/uv

# By hash and unchecked: a tool that rewrites files' times does not make the compiled files stale, and in a read-only
# image a stale one would be compiled again at every start.
NEVER_IMPORTED='/transformers/models/(?!auto/|bloom/|encoder_decoder/|__init__)'
compile() {
  local folder
  for folder in "$@"; do
    [[ -d "$folder" ]] || continue
    python3 -m compileall -q -j 0 -x "$NEVER_IMPORTED" --invalidation-mode unchecked-hash "$folder" || true
  done
}

if [[ $what == . ]]; then
  "$uv" pip install --no-deps .
  compile "$target"/lib/python3*/site-packages/{fusion_models,protocol,strategies,reporting,server,client,deploy}
  exit
fi

"$uv" venv --quiet --python /usr/bin/python3 "$target"
backend=()
[[ -z "${TORCH_BACKEND:-}" ]] || backend=(--torch-backend "$TORCH_BACKEND")
"$uv" pip install "${backend[@]}" --constraint constraints.txt --requirement "$what"

# A local label such as +cpu is the same version, built otherwise.
unlocked=$("$uv" pip freeze | sed 's/+.*//' | grep -vixFf constraints.txt || true)
if [[ -n "$unlocked" ]]; then
  echo "installed, but not at a version of constraints.txt: ${unlocked//$'\n'/, }" >&2
  exit 1
fi

# Flower would call uv to install what a bundle asks for; that is switched off, so the tool need not be there either.
"$uv" pip uninstall --quiet uv setuptools 2>/dev/null
packages=$(echo "$target"/lib/python3*/site-packages)
# Headers and tests are read when something is built or tested, and nothing is built or tested in an image.
rm -rf "$packages"/torch/{include,share,test}
[[ ! -d "$packages/torch/bin" ]] || find "$packages/torch/bin" -type f ! -name torch_shm_manager -delete
for package in matplotlib networkx pandas scipy sklearn sympy; do
  [[ ! -d "$packages/$package" ]] || find "$packages/$package" -type d -name tests -prune -exec rm -rf {} +
done
compile "$packages"
