# A display without a screen for the viewer. Sourced; needs the package xvfb and a function `fail`.

# Starts it, of 1280×800 points, for everything that this shell starts from here on. Its process is
# $display_pid, to be ended by whoever called; $1 is a folder for temporary files.
start_display() {
    Xvfb -displayfd 3 -screen 0 1280x800x24 -nolisten tcp 3> "$1/display" 2> /dev/null &
    display_pid=$!
    for _ in $(seq 50); do [ -s "$1/display" ] && break; sleep 0.1; done
    [ -s "$1/display" ] || fail "Xvfb did not start"
    DISPLAY=:$(cat "$1/display")
    export DISPLAY LIBGL_ALWAYS_SOFTWARE=1
    unset WAYLAND_DISPLAY
}
