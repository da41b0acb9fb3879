# Installs the Debian or Ubuntu packages named after the call that are not there yet, saying which.
# Sourced by run.sh and test.sh; needs root or sudo only where something is missing.

need_rust() {
    # rustup puts cargo here, and a shell that was open before does not know it.
    command -v cargo > /dev/null || PATH="$HOME/.cargo/bin:$PATH"
    command -v cargo > /dev/null || {
        echo "cargo is missing: install Rust 1.95 or newer from https://rustup.rs and run this again" >&2
        exit 2
    }
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]
}

# Each argument is a package, or several between bars of which one is enough: a|b.
need_packages() {
    command -v dpkg-query > /dev/null || {
        echo "no dpkg here: on other systems than Debian and Ubuntu install by hand what stands for: $*" >&2
        return 0
    }
    local missing=() wanted package
    for wanted in "$@"; do
        for package in ${wanted//|/ }; do
            is_installed "$package" && continue 2
        done
        missing+=("$wanted")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    echo "installing missing packages: ${missing[*]}" >&2
    local as_root=() chosen=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo > /dev/null || { echo "run this as root, or install sudo first" >&2; exit 2; }
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq >&2
    for wanted in "${missing[@]}"; do
        # The first that this release of the system has; the last is left for apt to complain about.
        for package in ${wanted//|/ }; do
            apt-cache show "$package" > /dev/null 2>&1 && break
        done
        chosen+=("$package")
    done
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${chosen[@]}" >&2
}

# What the build needs (libclang: for the camera's bindings; nasm: the video codec is silently slower without), and what a window needs while it runs.
build_packages=(cmake g++ nasm pkg-config "libclang1-14|libclang1-15|libclang1-16|libclang1-17|libclang1-18|libclang1-19|libclang1-20")
window_packages=(libgl1 libgl1-mesa-dri libglx-mesa0 libx11-6 libx11-xcb1 libxcursor1 libxi6 libxkbcommon0
    libxkbcommon-x11-0)

# Programs from crates.io that check or package: NAME VERSION and what else cargo install is to know. One of this version that
# is in PATH will do; otherwise it is built into target/tools, once.
need_tool() {
    tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/tools
    PATH=$tools/bin:$PATH
    # cargo's own subcommands want to be called as such
    "$1" --version 2> /dev/null | grep -qw "v\?$2" ||
        cargo install --locked --root "$tools" --target-dir "$tools/build" "$1@$2" "${@:3}"
}
