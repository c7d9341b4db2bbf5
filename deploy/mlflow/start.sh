#!/bin/sh
# Start the MLflow server of a consortium: PostgreSQL, authentication, artifacts through the server.
#
#   MLFLOW_SECRETS      folder with admin-password, session-key and, where PostgreSQL asks for one, pgpass (a libpq
#                       password file). Read here, so that no secret stands on a command line or in a unit file.
#   PGHOST PGPORT PGUSER PGDATABASE PGSSLMODE   where PostgreSQL is, as libpq knows them
#   MLFLOW_ARTIFACTS    folder of the artifacts; only this server reads and writes it (default /var/lib/mlflow/artifacts)
#   MLFLOW_HOST, MLFLOW_PORT, MLFLOW_WORKERS    default 0.0.0.0, 5000, 2
#   MLFLOW_SERVER_ALLOWED_HOSTS   Host headers to answer, for example mlflow.consortium.org
#   MLFLOW_TLS          folder with tls.crt and tls.key, where no proxy in front of the server ends TLS
set -eu
umask 077

secrets=${MLFLOW_SECRETS:-/run/secrets/mlflow}
for name in admin-password session-key; do
  [ -s "$secrets/$name" ] || { echo "mlflow: $secrets/$name is missing or empty; put a secret there" >&2; exit 1; }
done
MLFLOW_AUTH_ADMIN_PASSWORD=$(cat "$secrets/admin-password")
MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat "$secrets/session-key")
export MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY
if [ -s "$secrets/pgpass" ]; then
  # libpq ignores a password file that a group may read, and mounted secrets often are.
  PGPASSFILE=$(mktemp)
  cat "$secrets/pgpass" > "$PGPASSFILE"
  export PGPASSFILE
fi

export MLFLOW_AUTH_CONFIG_PATH="${MLFLOW_AUTH_CONFIG_PATH:-$(dirname "$0")/basic_auth.ini}"
# Nobody is called, and jobs that this project has no use for would cost 230 MB.
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false

set -- --app-name basic-auth --backend-store-uri postgresql+psycopg:/// \
  --artifacts-destination "${MLFLOW_ARTIFACTS:-/var/lib/mlflow/artifacts}" \
  --host "${MLFLOW_HOST:-0.0.0.0}" --port "${MLFLOW_PORT:-5000}" --workers "${MLFLOW_WORKERS:-2}"
if [ -n "${MLFLOW_TLS:-}" ]; then
  set -- "$@" --uvicorn-opts "--ssl-certfile $MLFLOW_TLS/tls.crt --ssl-keyfile $MLFLOW_TLS/tls.key"
fi
exec mlflow server "$@"
