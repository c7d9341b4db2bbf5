#!/bin/bash
# In the proxy image: writes nginx's configuration from the template and runs it.
#   start.sh serve     serve; PROXY_LISTEN, PROXY_UPSTREAM, PROXY_CERTIFICATE, PROXY_KEY, PROXY_AUTHORITY say what
#   start.sh test      only check the configuration
#   start.sh probe     health check: exit 0 where nginx accepts connections
set -euo pipefail
folder=/tmp/proxy
configuration=$folder/fleet.conf

write_configuration() {
  local file
  for file in "$PROXY_CERTIFICATE" "$PROXY_KEY" "$PROXY_AUTHORITY"; do
    [[ -r "$file" ]] || { echo "proxy: $file is missing or not readable for uid $(id -u); mount it" >&2; exit 1; }
  done
  mkdir -p "$folder"
  sed -e "s|@FOLDER@|$folder|g" -e "s|@ACCESS_LOG@|/dev/stdout|g" -e "s|@LISTEN@|$PROXY_LISTEN|g" \
    -e "s|@UPSTREAM@|$PROXY_UPSTREAM|g" -e "s|@CERTIFICATE@|$PROXY_CERTIFICATE|g" -e "s|@KEY@|$PROXY_KEY|g" \
    -e "s|@AUTHORITY@|$PROXY_AUTHORITY|g" /opt/proxy/fleet.conf.template >"$configuration"
}

case ${1:-serve} in
  serve) write_configuration; exec nginx -e stderr -c "$configuration" ;;
  test) write_configuration; exec nginx -e stderr -t -c "$configuration" ;;
  probe) : </dev/tcp/127.0.0.1/"${PROXY_LISTEN##*:}" ;;
  *) echo "proxy: unknown command '$1', expected serve, test or probe" >&2; exit 2 ;;
esac
