#!/bin/sh
# A PostgreSQL for tests, in a temporary folder, on a Unix socket: postgres.sh. Prints `folder FOLDER` and then the server's
# log; stops the server and removes the folder when its standard input ends, which it does when whoever started it ends,
# however that is. Should this script itself be killed, the kernel stops the server.
set -eu
trap '' INT TERM HUP

programs=
for version in $(ls /usr/lib/postgresql 2>/dev/null | sort -n); do
    [ -x "/usr/lib/postgresql/$version/bin/initdb" ] && programs=/usr/lib/postgresql/$version/bin
done
if [ -z "$programs" ]; then
    initdb=$(command -v initdb) || { echo 'PostgreSQL is missing (Debian: postgresql)'; exit 1; }
    programs=$(dirname "$(readlink -f "$initdb")")
fi

folder=$(mktemp -d /tmp/syncline-postgres.XXXXXX)
user=
if [ "$(id -u)" = 0 ]; then
    # initdb and postgres refuse to run as root.
    chown postgres "$folder"
    user='--reuid=postgres --regid=postgres --init-groups'
fi
echo "folder $folder"
cd "$folder"
setpriv $user "$programs/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync 2>&1
setpriv $user --pdeathsig QUIT "$programs/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=500 2>&1 &
server=$!
read -r _ || true
kill -QUIT "$server" || true
wait "$server" || true
cd /
rm -rf "$folder"
