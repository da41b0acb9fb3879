#!/bin/sh
# Makes the demo pictures and demo.mp4 from their sources (PROVENANCE.md tells where those are from).
#
#   make-clip.sh PERSON.mp4 BICYCLE.avi CARS.mp4 CHELSEA.png ASTRONAUT.png OUTDIR
#
# Needs ffmpeg with libx264. Everything is cut to 16:9 instead of being given black bars: a detector
# would see the bars as part of the picture.
set -eu

if [ $# -ne 6 ]; then
    sed -n 's/^#   //p' "$0" >&2
    exit 2
fi
person=$1 bicycle=$2 cars=$3 chelsea=$4 astronaut=$5 out=$6
mkdir -p "$out"

# The pictures. Repeatable bytes: no encoder version inside.
picture() { ffmpeg -v error -y "$@"; }
picture -i "$astronaut" -q:v 2 -fflags +bitexact -flags +bitexact "$out/astronaut.jpg"
picture -i "$chelsea" -q:v 2 -fflags +bitexact -flags +bitexact "$out/chelsea.jpg"
picture -ss 2 -i "$cars" -frames:v 1 -q:v 2 -fflags +bitexact -flags +bitexact "$out/cars.jpg"

# The clip: four parts of three seconds, 640×360 at 30 frames a second. The cat is a photograph over
# which a window moves; the window moves in a picture of twice the size, so that it does not tremble.
same="fps=30,setsar=1,format=yuv420p,trim=end_frame=90,setpts=PTS-STARTPTS"
ffmpeg -v error -y \
    -i "$person" \
    -loop 1 -framerate 30 -t 4 -i "$chelsea" \
    -i "$bicycle" \
    -ss 1.2 -i "$cars" \
    -filter_complex "
        [0:v]tpad=stop_mode=clone:stop_duration=1,crop=640:360:0:60,$same[person];
        [1:v]scale=1280:852:flags=lanczos,
             crop=1152:648:x='(in_w-out_w)*min(t/3,1)':y='(in_h-out_h)*(1-min(t/3,1))*0.6',
             scale=640:360:flags=lanczos,$same[cat];
        [2:v]scale=640:360:flags=lanczos:in_range=full:out_range=tv,$same[bicycle];
        [3:v]scale=640:360:flags=lanczos,$same[cars];
        [person][cat][bicycle][cars]concat=n=4:v=1:a=0[clip]" \
    -map "[clip]" -an -sn -map_metadata -1 \
    -c:v libx264 -profile:v main -preset slow -crf 23 -bf 0 -g 60 -threads 1 \
    -color_range tv -color_primaries smpte170m -color_trc smpte170m -colorspace smpte170m \
    -movflags +faststart -fflags +bitexact -flags +bitexact "$out/demo.mp4"
