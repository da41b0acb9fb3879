#!/usr/bin/env bash
# Makes the pictures of assets/screenshots from the real programs: the viewer on a display of its own, a frame of a
# recording, the report as a browser shows it, and the plot of `compare`. They go into the folder given as the only
# argument (default: assets/screenshots; then the book's are renewed, too).
# VOC=FOLDER/VOC2007 is what the report is about; without it there is no report.jpg.
# Needs Debian or Ubuntu; the packages it lacks are installed. Takes about a minute after the build, and the time of
# the evaluation. Nothing else should run meanwhile: times of this machine are in two of the pictures.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
. scripts/display.sh
need_rust
need_packages "${build_packages[@]}" "${window_packages[@]}" xvfb openbox xdotool imagemagick ffmpeg
# Only the report needs a browser, which is large.
[ -z "${VOC:-}" ] || need_packages "chromium|chromium-browser"

target=${CARGO_TARGET_DIR:-$PWD/target}
pictures=$(realpath -m "${1:-assets/screenshots}")
mkdir -p "$pictures"
cargo build --release --locked --workspace --bins
programs=$target/release

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
    echo "screenshots: $*" >&2
    [ ! -e "$work/log" ] || tail -20 "$work/log" >&2
    exit 1
}

# Settings and recordings of this run touch nobody's own.
export HOME=$work XDG_DATA_HOME=$work/data XDG_CONFIG_HOME=$work/config XDG_CACHE_HOME=$work/cache LIBGL_ALWAYS_SOFTWARE=1
# The folder for recordings that the options show: nothing is recorded there.
mkdir -p "$XDG_CONFIG_HOME"
echo 'XDG_VIDEOS_DIR="/home/you/Videos"' > "$XDG_CONFIG_HOME/user-dirs.dirs"

# A picture that is next to empty is none.
keep() { # FROM.png NAME.jpg
    [ "$(identify -format '%k' "$1")" -gt 1000 ] || fail "$2 shows next to nothing"
    convert "$1" -quality 88 "$pictures/$2"
    echo "$pictures/$2"
}

open_viewer() {
    start_display "$work"
    openbox --sm-disable > /dev/null 2>&1 &
    manager_pid=$!
    sleep 1
    "$programs/sandglass" demo > "$work/log" 2>&1 &
    viewer_pid=$!
    window=$(timeout 30 xdotool search --sync --onlyvisible --pid "$viewer_pid" | tail -1)
    [ -n "$window" ] || fail "no window came up"
    xdotool windowactivate --sync "$window"
    # Beyond the edge, so that nothing is hovered over.
    xdotool mousemove 1279 799
    sleep 3
}

# So many seconds into the demo: a person until the third, a cat until the sixth.
seconds_into_the_demo() {
    xdotool key r
    sleep "$1"
}

# The window as it is now.
shoot() { # NAME
    import -window "$window" "$work/$1.png"
    keep "$work/$1.png" "$1.jpg"
}

# The next part of the side panel; two presses within one frame would count as one.
next_part() {
    xdotool key n
    sleep 1
}

viewer() {
    open_viewer
    seconds_into_the_demo 3.6
    shoot viewer
    next_part
    seconds_into_the_demo 1.5
    shoot options
    next_part
    # The plot of times fills up.
    sleep 15
    seconds_into_the_demo 2.6
    shoot speed
    next_part
    next_part
    xdotool key x
    sleep 2
    seconds_into_the_demo 1.5
    shoot comparing
    kill -0 "$viewer_pid" 2> /dev/null || fail "the viewer ended by itself"
}

recorded() {
    "$programs/sandglass-detect" demo --record "$work/recorded.mp4" --banner --seconds 5 > "$work/log" 2>&1 ||
        fail "the recording failed"
    ffmpeg -v error -ss 1.5 -i "$work/recorded.mp4" -frames:v 1 "$work/recorded.png"
    keep "$work/recorded.png" recorded.jpg
}

accuracy() {
    "$programs/sandglass-detect" compare --threads 1 --svg "$pictures/accuracy.svg" > "$work/log" 2>&1 ||
        fail "compare failed"
    echo "$pictures/accuracy.svg"
}

report() {
    if [ -z "${VOC:-}" ]; then
        echo "no report.jpg: VOC=FOLDER/VOC2007 says where the pictures are" >&2
        return
    fi
    "$programs/sandglass-eval" --voc "$VOC" --split test --html "$work/report.html" > "$work/log" 2>&1 ||
        fail "the evaluation failed"
    local browser
    browser=$(command -v chromium || command -v chromium-browser) || fail "there is no chromium"
    # Of a page that was made here, as root where need be: without the sandbox.
    "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1180,1500 \
        --screenshot="$work/report.png" "file://$work/report.html" > "$work/log" 2>&1 || fail "chromium failed"
    keep "$work/report.png" report.jpg
}

viewer
# Its detection would take the time of what is measured below.
kill "$viewer_pid"
wait "$viewer_pid" 2> /dev/null || true
viewer_pid=''
recorded
accuracy
report

if [ "$pictures" = "$PWD/assets/screenshots" ]; then
    # The book has copies of some, and some alone.
    mv "$pictures/options.jpg" "$pictures/comparing.jpg" book/src/screenshots/
    for copy in book/src/screenshots/*.jpg; do
        [ ! -e "$pictures/$(basename "$copy")" ] || cp "$pictures/$(basename "$copy")" "$copy"
    done
fi
