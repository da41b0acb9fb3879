#!/usr/bin/env bash
# Puts the parts of part.sh together. The table is printed, and the result is left as PARTS_DIR/eval-merged-of-N.json.
#
#     merge.sh PARTS_DIR N [OPTIONS of sandglass-eval merge, such as --coco or --html report.html]
#
# Exit status: 0 all is well; 1 parts are missing or cannot be merged, or the result is there but pictures failed;
# 2 wrong usage.
set -euo pipefail

say() { echo "merge.sh: $*" >&2; }
wrong() {
    say "$@"
    exit 2
}

[ $# -ge 2 ] || wrong "expected PARTS_DIR N, got $# arguments"
parts=$1 n=$2
shift 2
[ -d "$parts" ] || wrong "$parts is no folder: name the one that the parts were written into"
[[ $n =~ ^[1-9][0-9]*$ ]] || wrong "N is how many parts there are, not \"$n\""
program=${SANDGLASS_EVAL:-sandglass-eval}
command -v "$program" > /dev/null || wrong "no program $program here: put sandglass-eval in PATH, or its path in SANDGLASS_EVAL"

files=() missing=()
for ((index = 1; index <= n; index++)); do
    file=$parts/eval-part-$index-of-$n.json
    if [ -s "$file" ]; then files+=("$file"); else missing+=("$index"); fi
done
if [ ${#missing[@]} -gt 0 ]; then
    say "of $n parts in $parts ${#missing[@]} are missing: ${missing[*]}"
    say "start the same job again; it computes these alone"
    exit 1
fi

result=$parts/eval-merged-of-$n.json
temporary=$parts/.eval-merged-of-$n.json.${HOSTNAME:-host}.$$
trap 'rm -f -- "$temporary"' EXIT
status=0
"$program" merge "$@" --json "$temporary" -- "${files[@]}" || status=$?
# Status 1 may mean that pictures failed: then the result is whole, and its last line closes it.
if [ "$status" -ne 0 ] && ! { [ "$status" -eq 1 ] && [ -f "$temporary" ] && [ "$(tail -n 1 -- "$temporary")" = "}" ]; }; then
    say "$program merge ended with status $status, $result was not written"
    exit "$status"
fi
sync -- "$temporary"
mv -f -- "$temporary" "$result"
say "$result is ready"
[ "$status" -eq 0 ] || say "but the pictures listed above failed. Mend them, delete their parts, and start the job again"
exit "$status"
