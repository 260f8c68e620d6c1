#!/usr/bin/env bash
# Shows on real files what Syncline does: a server, a plugin, three distribution servers, a repair; a device, its policy, a
# repair. Everything happens in a temporary folder, which is removed at the end. With --exit it ends by itself, otherwise it stays up until Ctrl-C.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=$root/target/release/syncline
device=$root/target/release/syncline-agent
plugin=$root/target/plugins/distribution-files.wasm
policies=$root/target/plugins/device-policy.wasm
stay=yes
case ${1:-} in
'') ;;
--exit) stay= ;;
*)
    echo "usage: demo [--exit]" >&2
    exit 2
    ;;
esac

readonly most_files=4000 least_files=1000
work=$(mktemp -d "${TMPDIR:-/tmp}/syncline-demo.XXXXXX")
server= agent=

finish() {
    trap - EXIT INT TERM ERR
    for one in $agent $server; do
        kill -TERM "$one" 2>/dev/null && wait "$one" 2>/dev/null || true
    done
    rm -rf "$work"
}

failed() {
    echo >&2
    echo "demo: failed in line $1. The server's last words:" >&2
    tail -n 20 "$work/server.log" >&2 || true
    exit 1
}

trap finish EXIT
trap 'exit 130' INT TERM
trap 'failed $LINENO' ERR

heading() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
say() { printf '%s\n' "$*"; }
# What a program would send for the command before it.
api() { printf '\033[2m   API: %s\033[0m\n' "$*"; }

# Runs a command as anyone would type it.
syncline() {
    printf '\033[36m$ syncline %s\033[0m\n' "${*@Q}"
    "$program" "$@"
}

# The same on the device.
syncline-agent() {
    printf '\033[36m(on the device) $ syncline-agent %s\033[0m\n' "${*@Q}"
    "$device" --config "$work/device/agent.toml" "$@"
}

# The id in the API's JSON on standard input.
id_of() { grep -o '"id":"[^"]*"' | head -n 1 | cut -d '"' -f 4; }

for needed in "$program" "$device" "$plugin" "$policies"; do
    [[ -e $needed ]] || { echo "demo: $needed is missing: run \`make build\`" >&2; exit 1; }
done

heading "A library of real files"
mkdir -p "$work/library/docs" "$work/north" "$work/south" "$work/east"
for tree in /usr/share/doc /usr/include /usr/share /usr/lib; do
    [[ -d $tree ]] || continue
    (cd "$tree" && find . -xdev -type f -readable -size -2048k -print0 2>/dev/null | sort -z | head -z -n $most_files) \
        >"$work/list" || true
    count=$(tr -dc '\0' <"$work/list" | wc -c)
    ((count >= least_files)) && break
done
tar -C "$tree" --null --no-recursion -T "$work/list" -cf - | tar -C "$work/library/docs" -xf -
say "$count files of $tree ($(du -sh "$work/library" | cut -f 1)) copied to $work/library/docs"

heading "A server, on the embedded database"
exec {lines}< <(exec "$program" serve --data "$work/data" --listen 127.0.0.1:0 2>"$work/server.log")
server=$!
read -r -u "$lines" listening || failed $LINENO
export SYNCLINE_URL=${listening#listening on } SYNCLINE_TOKEN_FILE=$work/data/admin.token
say "$listening"
syncline whoami
api "GET /api/v1/me, with the header Authorization: Bearer TOKEN"

heading "A plugin: uploaded, looked at, granted what it asks for, enabled"
syncline plugin install "$plugin"
api "POST /api/v1/plugins, with the package as application/wasm"
syncline plugin grant distribution-files --all >/dev/null
api "PUT /api/v1/plugins/distribution-files/grants {\"grants\": [...]}"
syncline plugin enable distribution-files >/dev/null
api "POST /api/v1/plugins/distribution-files/enable"
syncline plugin list

heading "The library, three distribution servers, and a sync that fills them"
syncline store add library "$work/library" >/dev/null
api "POST /api/v1/stores {\"name\": \"library\", \"kind\": \"folder\", \"path\": \"$work/library\"}"
for name in north south east; do
    syncline store add "$name" "$work/$name" --label "site=$name" >/dev/null
done
syncline collection add docs --store library --prefix docs >/dev/null
api "POST /api/v1/collections {\"name\": \"docs\", \"store\": \"library\", \"prefix\": \"docs\"}"
syncline sync add servers --plugin distribution-files --source docs --target north --target south --target east \
    --settings '{"rules": [{"folder": "docs"}], "prune": ["docs"], "manifest": true}' >/dev/null
api "POST /api/v1/syncs {\"name\": \"servers\", \"plugin\": \"distribution-files\", \"sources\": [\"docs\"], ...}"
syncline store list

heading "Preview: what a run would do"
syncline sync run servers --preview --wait
api "POST /api/v1/syncs/servers/runs {\"mode\": \"preview\"}, then GET /api/v1/runs/ID"
[[ -z $(find "$work/north" -name .syncline -prune -o -type f -print -quit) ]] || failed $LINENO
say "Nothing was written: north, south and east are still empty."

heading "The run"
syncline sync run servers --wait
for name in north south east; do
    diff -rq "$work/library/docs" "$work/$name/docs" || failed $LINENO
done
say "Compared with diff: each server holds what the library holds, and manifest.json lists it with digests."

heading "Somebody breaks south: one file deleted, one changed, one added"
mapfile -t victims < <(find "$work/south/docs" -type f | sort | sed -n 1,2p)
rm "${victims[0]}"
echo "tampered with" >>"${victims[1]}"
echo "what is this doing here" >"$work/south/docs/stranger.txt"
echo "not below docs: left alone" >"$work/south/own-notes.txt"

heading "Preview of the repair"
preview=$("$program" --json sync run servers --preview --wait | id_of)
syncline run operations "$preview"
api "GET /api/v1/runs/$preview/operations"

heading "The repair"
syncline sync run servers --wait
diff -rq "$work/library/docs" "$work/south/docs" || failed $LINENO
[[ -e $work/south/own-notes.txt ]] || failed $LINENO
say "South is whole again; own-notes.txt, which no rule is about, was left alone."

heading "A device: what it should hold is a policy of its group"
syncline plugin install "$policies" >/dev/null
syncline plugin grant device-policy --all >/dev/null
syncline plugin enable device-policy >/dev/null
syncline group add /tills >/dev/null
syncline application add till --defaults '{"currency": "EUR"}' >/dev/null
syncline policy add till --group /tills --settings '{"receipt": {"footer": "Thank you"}}' --lock /receipt
api "POST /api/v1/policies {\"application\": \"till\", \"group\": \"/tills\", \"settings\": {...}, \"locks\": [\"/receipt\"]}"

heading "It is enrolled with a token, and its agent keeps one file at that policy"
mkdir "$work/device"
cat >"$work/device/agent.toml" <<END
state = "$work/device/state"
socket = "$work/device/agent.sock"
name = "till-1"
[applications.till]
file = "$work/device/till.json"
form = "json"
reload = ["/bin/sh", "-c", "echo reloaded >>$work/device/reloads"]
END
syncline enrolment-token add "the demo's till" --group /tills --single-use --output "$work/device/token"
syncline-agent enrol --server "$SYNCLINE_URL/v1/opamp" --token-file "$work/device/token"
"$device" --config "$work/device/agent.toml" run 2>"$work/agent.log" &
agent=$!
syncline device sync till-1 --wait
api "POST /api/v1/devices/sync {\"devices\": [\"ID\"]}, then GET /api/v1/sync-operations/ID"
grep -q 'Thank you' "$work/device/till.json" || failed $LINENO
say "$work/device/till.json:"
cat "$work/device/till.json"
say

heading "Somebody edits the file on the device; a forced synchronisation finds and repairs it"
echo '{"receipt": {"footer": "Pay cash"}}' >"$work/device/till.json"
syncline device sync till-1 --wait
grep -q 'Thank you' "$work/device/till.json" || failed $LINENO
syncline device show till-1
syncline device explain till-1 till

heading "All of it is in the Event History"
syncline event list --limit 12

if [[ -z $stay ]]; then
    heading "Done"
    exit 0
fi
heading "The server stays up until Ctrl-C"
cat <<END
  address      $SYNCLINE_URL        (its API: $SYNCLINE_URL/api/v1/openapi.json)
  admin token  $SYNCLINE_TOKEN_FILE
  servers      $work/north, $work/south, $work/east
  device       $work/device/till.json

In another terminal:

  export SYNCLINE_URL=$SYNCLINE_URL SYNCLINE_TOKEN_FILE=$SYNCLINE_TOKEN_FILE
  $program event follow
  rm -r $work/east/docs && $program sync run servers --wait      # break something, repair it
  $program schedule add servers --every 1m
  $program policy list
END
wait "$server"
