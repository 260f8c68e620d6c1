#!/usr/bin/env bash
# Installs what is missing for `build`, `test` or `bench` (each includes those before it). Says nothing where nothing is.
set -euo pipefail

purpose=${1:-build}
target=wasm32-unknown-unknown

fail() {
    echo "setup: $*" >&2
    exit 1
}

# Runs a command for what it leaves behind; what it says is of interest only where it fails.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

has() { command -v "$1" >/dev/null 2>&1; }

has_postgres() { has postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }

# Packages are Debian's. Each is asked for by what it brings, so that the same program from elsewhere will do.
packages=()
has cc || packages+=(gcc libc6-dev)
if [[ $purpose == test || $purpose == bench ]]; then
    has rsync || packages+=(rsync)
    # Directory servers, and what changes what they hold.
    [[ -x /usr/sbin/slapd ]] || packages+=(slapd)
    has ldapmodify || packages+=(ldap-utils)
fi
if [[ $purpose == test ]]; then
    has_postgres || packages+=(postgresql)
    has psql || packages+=(postgresql-client)
    # A web server that gives parts of files: collections are refreshed from it.
    has nginx || [[ -x /usr/sbin/nginx ]] || packages+=(nginx-light)
    # Agents that others wrote, and a program to be kept at a policy.
    has node || packages+=(nodejs)
    has npm || packages+=(npm)
    has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
    has chromium || packages+=(chromium)
    [[ -x /usr/sbin/samba ]] && has samba-tool && has ldbadd ||
        packages+=(samba samba-ad-dc samba-ad-provision samba-dsdb-modules samba-vfs-modules winbind ldb-tools)
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
    # Tests start servers of their own: packages are kept from starting theirs.
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap "${as_root[*]} rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$policy"
    fi
    if ! {
        quietly "${as_root[@]}" apt-get update -qq &&
            quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
    }; then
        fail "installing $* did not work; see the lines above"
    fi
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

node_agent() {
    rm -rf "$1"
    mkdir -p "$1"
    cp "$2"/package.json "$2"/package-lock.json "$1"
    quietly npm ci --prefix "$1" --no-audit --no-fund
}

python_agent() {
    quietly python3 -m venv --clear "$1" &&
        quietly "$1/bin/pip" install --disable-pip-version-check --requirement "$2/requirements.txt"
}

scim_agent() {
    python_agent "$@"
}

# The libraries of the agents in tests/agents, and a service that speaks SCIM, in the versions that are pinned there.
agent() {
    local language=$1 pinned=$2
    local from=tests/agents/$language to=target/agents/$language
    # Copied last: it tells that all before it is done.
    cmp -s "$from/$pinned" "$to/installed" && return
    echo "setup: installing the $language agent of the tests"
    "${language}_agent" "$to" "$from" || fail "the $language agent cannot be installed into $to; see the lines above"
    cp "$from/$pinned" "$to/installed"
}

if [[ $purpose == test ]]; then
    cd "$(dirname "$0")/.."
    agent node package-lock.json
    agent python requirements.txt
    agent scim requirements.txt
fi
