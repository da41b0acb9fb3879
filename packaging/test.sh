#!/usr/bin/env bash
# Tests the packages that package.sh made by using them, in a fresh Debian tree without a network:
#   1. The tarball, unpacked, and the .deb without what it only recommends, in a tree that has nothing else:
#      the two command-line programs work; after removal the tree is what it was.
#   2. The .deb as apt installs it: the viewer opens on an X server inside the tree and shows the demo.
# On this machine: what the packed programs are linked with and that they make no internet socket
# (scripts/binaries.sh), and that `cargo install --path` makes each program.
# Needs root (chroot) on Debian. The only argument is the release to test on (default: bookworm); the tree is
# fetched once from this machine's mirror and kept in target/package-test, beside a picture of the viewer.
set -euo pipefail
cd "$(dirname "$0")/.."
# In mounts and processes of its own, which end with this script, however it ends.
[ -n "${INSIDE:-}" ] || INSIDE=yes exec unshare --mount --pid --fork --kill-child --propagation private "$0" "$@"
. scripts/packages.sh
need_packages debootstrap xvfb imagemagick desktop-file-utils appstream man-db

suite=${1:-bookworm}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
package=$(echo "$target"/package/sandglass_*_amd64.deb)
tarball=$(echo "$target"/package/sandglass-*-x86_64-linux-gnu.tar.gz)
if [ ! -e "$package" ] || [ ! -e "$tarball" ]; then
    echo "no packages in $target/package: run ./package.sh first" >&2
    exit 2
fi
version=$(dpkg-deb -f "$package" Version)
version=${version%-*}
work=$target/package-test
base=$work/$suite
tree=$work/tree
mkdir -p "$work"

fail() {
    echo "package test: $*" >&2
    exit 1
}
# Runs something in the tree with a network, and without.
system_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
installing() {
    env -i PATH="$system_path" DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$tree" "$@" > "$work/apt.log" 2>&1 ||
        { tail -20 "$work/apt.log" >&2; fail "$* failed"; }
}
running() {
    env -i PATH="$system_path:/opt/sandglass/bin" HOME=/tmp/home LC_ALL=C.UTF-8 LIBGL_ALWAYS_SOFTWARE=1 \
        unshare --net chroot "$tree" "$@"
}
finish() {
    umount -l "$tree/proc" "$tree/dev/shm" 2> /dev/null || true
    rm -rf --one-file-system "$tree"
}
trap finish EXIT

if [ ! -e "$base.ready" ]; then
    here=$(. /etc/os-release && echo "$VERSION_CODENAME")
    # shellcheck disable=SC2016 # apt fills it in
    mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $here" 'Identifier: Packages' | sed -n 1p)
    rm -rf "$base"
    echo "fetching $suite from $mirror" >&2
    debootstrap --variant=minbase "$suite" "$base" "$mirror" > "$work/debootstrap.log" || fail "debootstrap: see $work/debootstrap.log"
    rm -f "$base"/var/cache/apt/archives/*.deb
    touch "$base.ready"
fi
rm -rf --one-file-system "$tree"
cp -a "$base" "$tree"
mount -t proc proc "$tree/proc"
mount -t tmpfs tmpfs "$tree/dev/shm"
cp /etc/resolv.conf "$tree/etc/resolv.conf"
mkdir -p "$tree/tmp/home" "$tree/opt/sandglass"
cp "$package" "$tree/tmp/sandglass.deb"
cp assets/demo/chelsea.jpg "$tree/tmp/cat.jpg"

# Every file of the tree but what installing itself writes (databases, caches, logs) and what runs.
files() {
    (cd "$tree" && find . -xdev -regextype egrep \
        -regex '\./(proc|dev|tmp|opt|var/(lib/dpkg|lib/apt|cache|log))' -prune -o -print | sort)
}
commands_work() {
    [ "$(running sandglass-detect --version)" = "sandglass-detect $version" ] || fail "$1: sandglass-detect --version"
    [ "$(running sandglass-eval --version)" = "sandglass-eval $version" ] || fail "$1: sandglass-eval --version"
    running sandglass-detect /tmp/cat.jpg --json - > "$work/found.jsonl" || fail "$1: sandglass-detect of a picture"
    grep -q '"cat"' "$work/found.jsonl" || fail "$1: no cat in the picture of a cat: $(cat "$work/found.jsonl")"
    running sandglass-detect demo --json - > "$work/found.jsonl" 2> "$work/detect.log" ||
        { tail -5 "$work/detect.log" >&2; fail "$1: sandglass-detect demo"; }
    echo "$1: the commands work; $(wc -l < "$work/found.jsonl") frames of the demo"
}

echo "== the tarball, in $suite with $(running ldd --version | head -1)"
(cd "$target/package" && sha256sum --quiet -c SHA256SUMS) || fail "SHA256SUMS"
tar xf "$tarball" -C "$tree/opt/sandglass" --strip-components=1
commands_work tarball
running sandglass --version > /dev/null || fail "the tarball's viewer does not start"
rm -rf "$tree/opt/sandglass"

echo "== the .deb with nothing but its dependencies: $(dpkg-deb -f "$package" Depends)"
installing apt-get update -q
before=$(files)
installing apt-get install -y -q --no-install-recommends /tmp/sandglass.deb
echo "installed: $(grep -c '^Setting up' "$work/apt.log") packages"
commands_work deb
for file in $(running dpkg -L sandglass); do
    [ -e "$tree$file" ] || fail "$file was not installed"
done
for page in sandglass sandglass-detect sandglass-eval; do
    man -M "$tree/usr/share/man" -w "$page" > /dev/null || fail "no manual page of $page"
done
for page in "$tree"/usr/share/man/man1/sandglass*; do
    warnings=$(man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 > /dev/null)
    [ -z "$warnings" ] || fail "$page: $warnings"
done
for program in sandglass sandglass-detect sandglass-eval; do
    bash -n "$tree/usr/share/bash-completion/completions/$program.bash" || fail "completions of $program"
    for file in "zsh/vendor-completions/_$program" "fish/vendor_completions.d/$program.fish"; do
        [ -e "$tree/usr/share/$file" ] || fail "completions of $program are missing: $file"
    done
done
desktop-file-validate "$tree/usr/share/applications/sandglass.desktop"
# There is no domain to begin the component's name with.
appstreamcli validate --no-net --override cid-desktopapp-is-not-rdns=info "$tree/usr/share/metainfo/sandglass.metainfo.xml"
for program in sandglass sandglass-detect sandglass-eval; do
    ! running ldd "/usr/bin/$program" | grep 'not found' || fail "$program misses libraries"
done
installing apt-get purge -y -q sandglass
installing apt-get autoremove --purge -y -q
diff <(echo "$before") <(files) || fail "the removed package changed the tree"
echo "removed, nothing left"

echo "== the .deb as apt installs it, and the viewer"
installing apt-get install -y -q /tmp/sandglass.deb
echo "installed: $(grep -c '^Setting up' "$work/apt.log") packages"
installing apt-get install -y -q --no-install-recommends xvfb
mapfile -t installed < <(running dpkg -L sandglass)
# The X server draws into a file, so that nothing else is needed to see the picture.
cat > "$tree/tmp/view.sh" << 'VIEW'
set -eu
cd /tmp
mkdir -p screen
Xvfb :7 -screen 0 1180x740x24 -nolisten tcp -fbdir screen > xvfb.log 2>&1 &
server=$!
for i in $(seq 100); do [ -e /tmp/.X11-unix/X7 ] && break; sleep 0.1; done
DISPLAY=:7 sandglass demo > viewer.log 2>&1 &
viewer=$!
sleep "$1"
kill -0 $viewer || { cat viewer.log; exit 1; }
cp screen/Xvfb_screen0 screen.xwd
kill -TERM $viewer
wait $viewer || { echo "the viewer ended with status $?"; cat viewer.log; exit 1; }
kill $server
VIEW
running sh /tmp/view.sh 12 || fail "the viewer does not run"
picture=$work/viewer-$suite.png
convert "xwd:$tree/tmp/screen.xwd" "$picture"
colours=$(identify -format '%k' "$picture")
[ "$colours" -gt 1000 ] || fail "the window shows next to nothing: $picture"
echo "the viewer shows $colours colours: $picture"
installing apt-get purge -y -q sandglass
for file in "${installed[@]}"; do
    [ -d "$tree$file" ] || [ ! -e "$tree$file" ] || fail "$file is left after removal"
done
! find "$tree/usr" "$tree/etc" "$tree/var/lib" -iname '*sandglass*' | grep . || fail "that is left after removal"

echo "== on this machine: what the packed programs are linked with, which sockets they make"
rm -rf "$work/unpacked"
dpkg-deb -x "$package" "$work/unpacked"
scripts/binaries.sh "$work/unpacked/usr/bin" package

echo "== cargo install --path"
rm -rf "$work/installed"
while read -r member program; do
    cargo install --quiet --locked --path "$member" --root "$work/installed" --target-dir "$target"
    [ "$("$work/installed/bin/$program" --version)" = "$program $version" ] || fail "cargo install --path $member"
done << 'PROGRAMS'
detector sandglass-detect
eval sandglass-eval
gui sandglass
PROGRAMS
echo "all package tests passed on $suite"
