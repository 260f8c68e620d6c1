#!/usr/bin/env bash
# Builds each plugin of a workspace to a package: build-guests TOOL WORKSPACE OUTPUT-FOLDER
set -euo pipefail

tool=$(realpath "$1")
workspace=$2
output=$3

mkdir -p "$output"
for manifest in "$workspace"/*/Cargo.toml; do
    folder=$(dirname "$manifest")
    name=$(basename "$folder")
    log=$(mktemp)
    # What the tool says is of interest only where it fails.
    if ! "$tool" build "$folder" --output "$output/$name.wasm" -- --locked >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        echo "build-guests: $folder cannot be built" >&2
        exit 1
    fi
    rm -f "$log"
    echo "$output/$name.wasm"
done
