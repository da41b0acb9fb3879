#!/usr/bin/env bash
# Uses the viewer as a person would, on a display of its own: plays the demo, pauses, switches the backbone,
# records ten seconds, closes the window, and checks that the recording is whole. Pictures of what was seen
# are left in the folder given as the only argument (default: target/viewer-test).
# Needs Debian or Ubuntu; the packages it lacks are installed. Takes about a minute after the build.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
. scripts/display.sh
need_rust
need_packages "${build_packages[@]}" "${window_packages[@]}" xvfb openbox wmctrl xdotool imagemagick ffmpeg

target=${CARGO_TARGET_DIR:-$PWD/target}
pictures=$(realpath -m "${1:-$target/viewer-test}")
mkdir -p "$pictures"
cargo build --release --locked --workspace

work=$(mktemp -d)
display_pid='' manager_pid='' viewer_pid=''
finish() {
    [ -z "$viewer_pid" ] || kill "$viewer_pid" 2> /dev/null || true
    [ -z "$manager_pid" ] || kill "$manager_pid" 2> /dev/null || true
    [ -z "$display_pid" ] || kill "$display_pid" 2> /dev/null || true
    rm -rf "$work"
}
trap finish EXIT
fail() {
    echo "viewer-test: $*" >&2
    [ ! -e "$work/log" ] || tail -20 "$work/log" >&2
    exit 1
}

# Settings and recordings of this run touch nobody's own.
export HOME=$work XDG_DATA_HOME=$work/data XDG_CONFIG_HOME=$work/config LIBGL_ALWAYS_SOFTWARE=1
start_display "$work"
openbox --sm-disable > /dev/null 2>&1 &
manager_pid=$!
sleep 1

"$target/release/sandglass" demo > "$work/log" 2>&1 &
viewer_pid=$!
window=$(timeout 30 xdotool search --sync --onlyvisible --pid "$viewer_pid" | tail -1)
[ -n "$window" ] || fail "no window came up"
xdotool windowactivate --sync "$window"
key() { xdotool key "$1"; }
picture() { import -window root "$pictures/$1.png"; }
alive() { kill -0 "$viewer_pid" 2> /dev/null || fail "the viewer ended by itself after $1"; }
# Processor time of the viewer, in hundredths of a second.
used() { awk '{ print $14 + $15 }' "/proc/$viewer_pid/stat"; }

sleep 4
picture running
# Whether anything but black is in the middle of the window.
[ "$(identify -format '%k' "$pictures/running.png")" -gt 1000 ] || fail "the window shows next to nothing"

key space
sleep 1
before=$(used)
sleep 3
paused=$(($(used) - before))
picture paused
echo "paused: $paused hundredths of a second of processor time in 3 s"
[ "$paused" -le 15 ] || fail "a paused viewer keeps the processor busy"
key space

key b
sleep 2
picture another-backbone
key shift+b
sleep 1
alive "switching"
key x
sleep 2
picture comparing
key x
key n
# Two presses within one frame count as one.
sleep 1
key n
sleep 2
picture speed
alive "the tabs"

key ctrl+r
sleep 10
picture recording
alive "recording"
# As the button in the title bar does.
wmctrl -i -c "$(printf "0x%x" "$window")"
for _ in $(seq 100); do kill -0 "$viewer_pid" 2> /dev/null || break; sleep 0.1; done
kill -0 "$viewer_pid" 2> /dev/null && fail "the window did not close"
wait "$viewer_pid" || fail "the viewer ended with status $?"
viewer_pid=

recordings=("$work"/Sandglass/*.mp4)
[ -e "${recordings[0]}" ] || fail "there is no recording"
read -r frames length < <(ffprobe -v error -count_frames -select_streams v \
    -show_entries stream=nb_read_frames:format=duration -of default=nokey=1:noprint_wrappers=1 \
    "${recordings[0]}" | paste -sd' ')
lines=$(wc -l < "${recordings[0]%.mp4}.jsonl")
echo "recorded: $frames frames in $length s, $lines lines in the sidecar"
# Every frame of the demo is in it, 30 a second; a slow machine gets through less of it in ten seconds.
awk -v l="$length" -v n="$frames" 'BEGIN { exit !(l > 1 && l < 13 && n > 29 * l && n < 31 * l) }' ||
    fail "$frames frames in $length s"
[ "$frames" = "$lines" ] || fail "$frames frames, but $lines lines in the sidecar"
ffmpeg -v error -i "${recordings[0]}" -f null - 2> "$work/decode" || fail "ffmpeg cannot play the recording"
[ ! -s "$work/decode" ] || fail "ffmpeg complains: $(head -3 "$work/decode")"
echo "pictures of the window are in $pictures"
