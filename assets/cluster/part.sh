#!/usr/bin/env bash
# Evaluates one part of a data set, unless that is done already. Slurm and Kubernetes both call it; it knows of neither.
#
#     part.sh INDEX N DATA PARTS_DIR
#
# INDEX counts from 1 to N, DATA is the folder that holds ImageSets, Annotations and JPEGImages. The part is left as
# PARTS_DIR/eval-part-INDEX-of-N.json. From the environment:
#   SPLIT             the list of images, ImageSets/Main/SPLIT.txt (default: test)
#   SANDGLASS_EVAL    the program (default: sandglass-eval)
#   SANDGLASS_...     what the program itself reads: SANDGLASS_BACKBONE, SANDGLASS_WEIGHTS, SANDGLASS_THREADS and others
# Exit status: 0 the part is there; 1 it failed and may be tried again; 2 wrong usage, which trying again does not mend.
set -euo pipefail

say() { echo "part.sh: $*" >&2; }
wrong() {
    say "$@"
    exit 2
}

[ $# -eq 4 ] || wrong "expected INDEX N DATA PARTS_DIR, got $# arguments"
index=$1 n=$2 data=$3 parts=$4
[[ $index =~ ^[1-9][0-9]*$ && $n =~ ^[1-9][0-9]*$ ]] || wrong "INDEX and N are numbers from 1, not \"$index\" and \"$n\""
[ "$index" -le "$n" ] || wrong "there is no part $index of $n: start as many tasks as there are parts"

name=eval-part-$index-of-$n.json
part=$parts/$name
# In the same folder, because only there `mv` replaces in one step. Two machines may be at the same part, where one was
# given up but still runs, so each has a name of its own. The dot hides it from eval-part-*.
temporary=$parts/.$name.${HOSTNAME:-host}.$$

# What killed tries left. Called only where the part is there, so that nobody needs them any more.
tidy() { rm -f -- "$parts/.$name."*; }

if [ -s "$part" ]; then
    say "$part is there already: nothing to do"
    tidy
    exit 0
fi

program=${SANDGLASS_EVAL:-sandglass-eval}
command -v "$program" > /dev/null || wrong "no program $program here: put sandglass-eval in PATH, or its path in SANDGLASS_EVAL"
# The program takes a folder without ImageSets as a set of its own. Where a volume is not mounted that is a set without
# a picture, and its empty part would count as done.
split=${SPLIT:-test}
list=$data/ImageSets/Main/$split.txt
if [ ! -s "$list" ]; then
    say "$list is missing or empty: is the data set mounted on ${HOSTNAME:-this machine}, and is SPLIT right?"
    exit 1
fi
mkdir -p -- "$parts"

# Machines with a graphics card must not give other figures than those without.
export SANDGLASS_DEVICE=${SANDGLASS_DEVICE:-cpu}

# In the background, because bash acts on a signal only between commands, and a cluster does not wait long.
child=
stop() {
    [ -z "$child" ] || kill "$child" 2> /dev/null || true
    wait
    say "stopped before $name was ready"
    exit 143
}
trap stop TERM INT
trap 'rm -f -- "$temporary"' EXIT
"$program" --voc "$data" --split "$split" --shard "$index/$n" --shard-file "$temporary" &
child=$!
status=0
wait "$child" || status=$?
child=

# Status 1 stands for two things. Pictures that cannot be read are listed at the end of a whole part, which the next try
# would not change; anything else left no part, or half of one.
if [ "$status" -eq 1 ] && [ -f "$temporary" ] && [ "$(tail -c 4 -- "$temporary")" = '"]]}' ]; then
    say "kept $part with the failed pictures listed above. Mend them and delete it to have it computed again"
elif [ "$status" -ne 0 ]; then
    [ "$status" -ne 137 ] || say "$program was killed: it may need more memory"
    say "$program ended with status $status, $part was not written"
    exit "$status"
fi
# On the disk before it has its name, so that a machine that loses power leaves no empty part.
# Another machine that finished the same part first may have tidied up here, at any moment: its part is as good.
{ sync -- "$temporary" && mv -f -- "$temporary" "$part"; } || [ -s "$part" ]
tidy
say "$part is ready"
