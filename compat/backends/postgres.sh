#!/usr/bin/env bash
# PostgreSQL, as the system's package has it: one server on a directory of its own, with a superuser (PGUSER) and a login
# that may do nothing by itself (LONGSHORE_LOGIN), as a catalog should have it. Nothing is synced to the disk, unless
# POSTGRES_FSYNC=on: a test's database need not survive the machine. Its collation is not that of bytes, so that an order which relies on it shows.
. "$(dirname "$0")/common.sh"

# The newest of the system's, or what PATH has.
bin() {
  local newest
  newest=$(find /usr/lib/postgresql -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
  newest=${newest:-$(command -v initdb || true)}
  [ -z "$newest" ] || dirname "$newest"
}

# The server refuses to run as root.
as_user() {
  if [ "$(id -u)" != 0 ]; then exec "$@"; fi
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$@"
}

do_install() {
  [ -z "$(bin)" ] || return 0
  [ -z "${ONLY_LOOK:-}" ] || exit 1
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get update -q >&2 && apt-get install -qy --no-install-recommends postgresql >&2
  fi
  [ -n "$(bin)" ] || die "PostgreSQL 15 or newer is needed (apt-get install postgresql)"
}

stop_all() {
  local pid tick n=0 place
  place=$(cat "$DATA/place" 2>/dev/null || true)
  # Not the one that was launched: a test may have restarted it.
  pid=$(head -n 1 "$place/db/postmaster.pid" 2>/dev/null || true)
  if [ -n "$pid" ]; then
    tick=$(start_time "$pid")
    # The way that does not wait for clients.
    kill -INT "$pid" 2>/dev/null || true
    while [ -n "$tick" ] && alive "$pid" "$tick"; do
      n=$((n + 1)); [ "$n" -lt 50 ] || { kill -9 "$pid" 2>/dev/null || true; break; }
      sleep 0.1
    done
  fi
  case $place in */longshore-postgres.*) rm -rf "$place" ;; esac
  rm -f "$DATA/pids"
}

do_start() {
  local bin place user=longshore
  bin=$(bin)
  # Not below DATA: the user that the server runs as may not get there.
  place=$(mktemp -d "${TMPDIR:-/tmp}/longshore-postgres.XXXXXX")
  echo "$place" > "$DATA/place"
  local password login
  password=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
  login=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
  echo "$password" > "$place/password"
  chmod 0600 "$place/password"
  if [ "$(id -u)" = 0 ]; then chown -R postgres:postgres "$place"; fi
  mkdir -p "$DATA/log"
  (cd / && as_user "$bin/initdb" -D "$place/db" -U postgres --pwfile="$place/password" --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 --locale-provider=icu --icu-locale=en --no-sync) > "$DATA/log/initdb.log" 2>&1 \
    || { tail -n 20 "$DATA/log/initdb.log" >&2; die "initdb failed"; }
  # In the directory that the server may be in; launch keeps its pid, which setpriv does not change.
  start_server() {
    launch postgres "${@}" "$bin/postgres" -D "$place/db" -p "$PORT" -c listen_addresses=127.0.0.1 \
      -c unix_socket_directories= -c fsync="${POSTGRES_FSYNC:-off}" -c full_page_writes="${POSTGRES_FSYNC:-off}" -c max_connections=400 -c shared_buffers=64MB \
      -c log_min_messages=fatal -c track_activity_query_size=4096
  }
  if [ "$(id -u)" = 0 ]; then
    start_server setpriv --reuid=postgres --regid=postgres --init-groups
  else
    start_server env
  fi
  local left=150
  until "$bin/pg_isready" -q -h 127.0.0.1 -p "$PORT"; do
    left=$((left - 1)); [ "$left" -gt 0 ] || die "not ready"
    sleep 0.1
  done
  PGPASSWORD=$password "$bin/psql" -qX -h 127.0.0.1 -p "$PORT" -U postgres -d postgres -v ON_ERROR_STOP=1 \
    -c "CREATE ROLE $user LOGIN NOINHERIT PASSWORD '$login'" >&2
  emit PGHOST 127.0.0.1
  emit PGPORT "$PORT"
  emit PGUSER postgres
  emit PGPASSWORD "$password"
  emit PGBIN "$bin"
  emit PGDATA "$place/db"
  emit LONGSHORE_LOGIN "$user"
  emit LONGSHORE_LOGIN_PASSWORD "$login"
}
main "$@"
