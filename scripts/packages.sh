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

need_packages() {
    command -v dpkg-query > /dev/null || {
        echo "no dpkg here: on other systems than Debian and Ubuntu install by hand what stands for: $*" >&2
        return 0
    }
    local missing=() package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    echo "installing missing packages: ${missing[*]}" >&2
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo > /dev/null || { echo "run this as root, or install sudo first" >&2; exit 2; }
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# What the build needs, and what a window needs while it runs.
build_packages=(g++ pkg-config)
window_packages=(libgl1 libgl1-mesa-dri libglx-mesa0 libx11-6 libx11-xcb1 libxcursor1 libxi6 libxkbcommon0
    libxkbcommon-x11-0)
