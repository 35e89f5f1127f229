#!/bin/sh
# A Postgres for the control plane that is kept in DIR: postgres.sh DIR start|stop. Only its socket listens.
# Root's Postgres runs as the user postgres, who has no access to a clone below /root: its data are in a
# separate directory, whose path is in DIR/postgres.place.
set -eu
dir=$1
place=$(cat "$dir/postgres.place" 2>/dev/null) || place=
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -x "$bin/initdb" ] || bin=$(dirname "$(command -v initdb)")

as_postgres() {
    [ "$(id -u)" -eq 0 ] || { "$@"; return; }
    ( cd / && setpriv --reuid postgres --regid postgres --init-groups -- "$@" )
}
runs() { [ -n "$place" ] && as_postgres "$bin/pg_ctl" -D "$place/data" status >/dev/null 2>&1; }

start() {
    ! runs || return 0
    place=$(mktemp -d "${TMPDIR:-/tmp}/centrex-postgres.XXXXXX")
    [ "$(id -u)" -ne 0 ] || chown postgres: "$place"
    as_postgres "$bin/initdb" -D "$place/data" -U postgres -E UTF8 --locale=C --auth=trust --no-sync >"$dir/postgres.log"
    as_postgres "$bin/pg_ctl" -D "$place/data" -l "$place/log" -w start \
        -o "-c listen_addresses= -c unix_socket_directories=$place -c fsync=off" >>"$dir/postgres.log"
    echo "$place" >"$dir/postgres.place"
    psql -h "$place" -U postgres -d postgres -X -q -v ON_ERROR_STOP=1 \
        -c "CREATE ROLE centrex LOGIN CREATEROLE" -c "CREATE DATABASE centrex OWNER centrex"
}

stop() {
    [ -n "$place" ] || return 0
    ! runs || as_postgres "$bin/pg_ctl" -D "$place/data" -m immediate stop >/dev/null
    rm -rf "$place"
}

case $2 in
start) start ;;
stop) stop ;;
*) echo "postgres.sh: $2 is neither start nor stop" >&2; exit 2 ;;
esac
