#!/usr/bin/env bash
# Installs what is missing for `build`, `test` or `bench` (each includes those before it). Says nothing where nothing is.
set -euo pipefail

purpose=${1:-build}
target=wasm32-unknown-unknown

fail() {
    echo "setup: $*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

has_postgres() { has postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }

# Packages are Debian's. Each is asked for by what it brings, so that the same program from elsewhere will do.
packages=()
has cc || packages+=(gcc libc6-dev)
if [[ $purpose == test || $purpose == bench ]]; then
    has rsync || packages+=(rsync)
fi
if [[ $purpose == test ]]; then
    has_postgres || packages+=(postgresql)
    has psql || packages+=(postgresql-client)
fi
if [[ $purpose == bench ]]; then
    has rclone || packages+=(rclone)
fi

install_packages() {
    local as_root=()
    has apt-get || fail "missing: $*. There is no apt-get here: install them in this system's own way, then try again"
    if [[ $(id -u) != 0 ]]; then
        if has sudo && sudo -n true 2>/dev/null; then
            as_root=(sudo -n)
        else
            fail "missing: $*. Run \`sudo apt-get install --no-install-recommends $*\`, then try again"
        fi
    fi
    echo "setup: installing $*"
    local log
    log=$(mktemp)
    if ! {
        "${as_root[@]}" apt-get update -qq &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
    } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        fail "installing $* did not work; see the lines above"
    fi
    rm -f "$log"
}

if ((${#packages[@]})); then
    install_packages "${packages[@]}"
fi

has cargo || fail "cargo is missing: install Rust from https://rustup.rs, then try again"

# Plugins are built for WebAssembly: with rustup's standard library for it, or Debian's compiler and sources.
has_target() { compgen -G "$(rustc --print sysroot)/lib/rustlib/$target/lib/libstd-*" >/dev/null; }
has_debian_way() { [[ -x /usr/bin/rustc && -f $(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock ]]; }

if ! has_target && ! has_debian_way; then
    if has rustup && rustup target add "$target" >/dev/null 2>&1 && has_target; then
        echo "setup: added the target $target with rustup"
    else
        install_packages rustc-web rust-web-src lld
    fi
fi

# The nearest server that devices poll, to be measured beside.
if [[ $purpose == bench ]]; then
    peer=target/peers/goosebit
    if [[ ! -x $peer/bin/aerich ]]; then
        has python3 && python3 -c 'import ensurepip' 2>/dev/null || install_packages python3 python3-venv
        echo "setup: installing goosebit 0.2.12 into $peer"
        python3 -m venv "$peer" && "$peer/bin/pip" -q install goosebit==0.2.12 || fail "goosebit cannot be installed with pip"
    fi
fi
