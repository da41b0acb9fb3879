#!/usr/bin/env bash
# Checks what the three programs ask of a machine, by looking and by running them:
#   - the dynamic libraries that they are linked with are exactly those of packaging/libraries.txt;
#   - over a full run each, no internet socket is made (IPv4, IPv6, raw), as strace sees it.
#
#     scripts/binaries.sh [DIR] [KIND]
#
# DIR has the programs (default: what `cargo build` and `cargo test` leave in target/debug), KIND is the kind of
# build in packaging/libraries.txt: `cargo`, or `package` for what package.sh builds.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
. scripts/display.sh
need_packages "${window_packages[@]}" binutils strace xvfb

folder=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/debug}")
kind=${2:-cargo}
programs=(sandglass-detect sandglass-eval sandglass)
work=$(mktemp -d)
display_pid=
finish() {
    [ -z "$display_pid" ] || kill "$display_pid" 2> /dev/null || true
    rm -rf "$work"
}
trap finish EXIT
fail() {
    echo "binaries: $*" >&2
    exit 1
}
for program in "${programs[@]}"; do
    [ -x "$folder/$program" ] || fail "$folder/$program is not there: build it first (cargo build)"
done

declare -A libraries sockets
for program in "${programs[@]}"; do
    found=$(objdump -p "$folder/$program" | awk '$1 == "NEEDED" { print $2 }' | sort | paste -sd' ')
    expected=$(awk -v kind="$kind" -v program="$program" '$1 == kind && $2 == program { $1 = $2 = ""; print }' \
        packaging/libraries.txt | xargs -n1 | sort | paste -sd' ')
    [ "$found" = "$expected" ] || fail "$program is linked with other libraries than packaging/libraries.txt says:
  found:    $found
  expected: $expected"
    libraries[$program]=$found
done

# Settings of these runs touch nobody's own. io_uring could make sockets behind strace's back.
export HOME=$work XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data XDG_CACHE_HOME=$work/cache
traced() {
    local program=$1 status=0
    shift
    strace -f -qq -e trace=socket,io_uring_setup -e signal=none -o "$work/$program.trace" \
        timeout -s TERM "${limit:-300}" "$folder/$program" "$@" > "$work/$program.log" 2>&1 || status=$?
    # 124: it had to be told to end, as a window has; one that ends before has failed.
    local expected=0
    [ -z "${limit:-}" ] || expected=124
    [ "$status" -eq "$expected" ] || {
        tail -5 "$work/$program.log" >&2
        fail "$program ended with status $status"
    }
    ! grep -E 'AF_INET|AF_INET6|AF_PACKET|io_uring_setup' "$work/$program.trace" >&2 ||
        fail "$program made an internet socket"
    sockets[$program]=$(grep -o 'AF_[A-Z0-9]*' "$work/$program.trace" | sort | uniq -c | awk '{ print $2 " " $1 }' | paste -sd, || true)
}

traced sandglass-detect demo --record "$work/demo.mp4" --sidecar "$work/demo.jsonl"
[ -s "$work/demo.mp4" ] || fail "sandglass-detect recorded nothing"

# A data set of one picture, in the devkit's folders.
voc=$work/VOC2007
mkdir -p "$voc"/{Annotations,ImageSets/Main,JPEGImages}
cp assets/demo/chelsea.jpg "$voc/JPEGImages/000001.jpg"
echo 000001 > "$voc/ImageSets/Main/test.txt"
cat > "$voc/Annotations/000001.xml" << 'XML'
<annotation><folder>VOC2007</folder><filename>000001.jpg</filename>
<size><width>451</width><height>300</height><depth>3</depth></size>
<object><name>cat</name><difficult>0</difficult>
<bndbox><xmin>80</xmin><ymin>5</ymin><xmax>380</xmax><ymax>295</ymax></bndbox></object></annotation>
XML
traced sandglass-eval --voc "$voc" --split test --html "$work/report.html" --json "$work/report.json"
[ -s "$work/report.html" ] || fail "sandglass-eval wrote no report"

# A display without TCP: what the viewer's X library would open to reach it otherwise is not the viewer's doing.
start_display "$work"
limit=10 traced sandglass demo
grep -q AF_UNIX "$work/sandglass.trace" || fail "the viewer did not reach the display"

printf '%-17s %-75s %s\n' program "linked with" "sockets made"
for program in "${programs[@]}"; do
    printf '%-17s %-75s %s\n' "$program" "${libraries[$program]}" "${sockets[$program]:-none}"
done
