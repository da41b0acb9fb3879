#!/usr/bin/env python3
"""All that a machine with an NVIDIA GPU has to say of the CUDA engine, in under ten minutes: parity with the CPU,
compute-sanitizer, leaks, and speed beside PyTorch with the same weights.

    backbone/benches/cuda.sh                       builds the program, packs everything, and runs this
    python3 cuda.py --program ./cuda [--minutes 9] [--json OUT.json] [--skip parity,sanitizer,leak,peers]

Needs the built program, python3 with torch and safetensors, and the folders that cuda.sh packs; no network. Prints
tables, writes JSON; exit status 1 where something failed.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
NETWORKS = ["mobilenext-1.0", "mobilenet-v2-1.0"]
# In eight bits, as they ship: beside the best that PyTorch does in sixteen.
INTEGERS = {"mobilenet-v2-1.0-int8": "mobilenet-v2-1.0"}
BATCHES = [1, 8, 64, 256]
CLASSES = 21
SIZE = 320
# Inputs that are used in turn, so that none stays in the cache.
INPUTS = 4


class Run:
    """What was found, and how much time is left."""

    def __init__(self, program, minutes):
        self.program, self.end = program, time.monotonic() + minutes * 60
        self.report, self.failed = {}, []

    def left(self):
        return self.end - time.monotonic()

    def call(self, name, command, keep=40):
        """Runs a program; its last lines are shown and kept."""
        print(f"\n== {name}: {' '.join(map(str, command))}", flush=True)
        begin = time.monotonic()
        try:
            done = subprocess.run(command, capture_output=True, text=True, cwd=HERE,
                                  timeout=max(self.left(), 1))
            output, code = done.stdout + done.stderr, done.returncode
        except subprocess.TimeoutExpired as late:
            output, code = (late.stdout or b"").decode(errors="replace") + "\ntime is over", -1
        lines = output.strip().splitlines()
        print("\n".join(lines[-keep:]))
        verdict = "ok" if code == 0 else f"FAILED ({code})"
        print(f"{verdict}, {time.monotonic() - begin:.1f} s", flush=True)
        self.report[name] = {"verdict": verdict, "output": lines[-400:]}
        if code != 0:
            self.failed.append(name)
        return lines if code == 0 else []


def peers(run, folder):
    """The network's time in PyTorch by network, batch and mode, in milliseconds."""
    import torch
    from safetensors.torch import load_file

    sys.path.insert(0, str(folder / "training"))
    import reference

    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda")
    copy = bandwidth(torch, device)
    print(f"copy bandwidth {copy / 1e12:.2f} TB/s (bytes read and written)")
    run.report["copy_bytes_a_second"] = copy
    run.report["torch"] = torch.__version__
    models = {}
    for name in NETWORKS:
        file = folder / f"{name}.safetensors"
        if not file.exists():
            subprocess.run([run.program, "weights", name, str(file)], check=True, timeout=60)
        model = reference.SsdLite(name, CLASSES).eval()
        state = {key: value.float() for key, value in load_file(file).items()}
        missing = model.load_state_dict(state, strict=False)
        left = [key for key in missing.missing_keys if not key.endswith("num_batches_tracked")]
        assert not left and not missing.unexpected_keys, (left, missing.unexpected_keys)
        models[name] = model.to(device).half().to(memory_format=torch.channels_last)

    times = {name: {batch: {} for batch in BATCHES} for name in NETWORKS}
    # The slowest last, so that what is most wanted is there when time is over.
    with torch.inference_mode():
        for name in NETWORKS:
            for batch in BATCHES:
                inputs = [torch.randn(batch, 3, SIZE, SIZE, device=device).half().to(memory_format=torch.channels_last)
                          for _ in range(INPUTS)]
                times[name][batch]["eager"] = measure(torch, models[name], inputs)
                times[name][batch]["graph"] = measure(torch, captured(torch, models[name], inputs), range(INPUTS))
        for batch in [1, 64, 8, 256]:
            for name in NETWORKS:
                if run.left() < 75:
                    continue
                torch._dynamo.reset()
                inputs = [torch.randn(batch, 3, SIZE, SIZE, device=device).half().to(memory_format=torch.channels_last)
                          for _ in range(INPUTS)]
                try:
                    compiled = torch.compile(models[name], mode="max-autotune")
                    times[name][batch]["compiled"] = measure(torch, compiled, inputs)
                except Exception as error:  # noqa: BLE001: a peer that fails is told, and not our failure
                    print(f"torch.compile of {name} at {batch}: {error}")
    return times


def bandwidth(torch, device):
    source = torch.empty(1 << 30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / (measure(torch, lambda _: target.copy_(source), [None]) / 1e3)


def captured(torch, model, inputs):
    """The model as CUDA graphs, one for each input: a function of the input's number."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            model(inputs[0])
    torch.cuda.synchronize()
    graphs = []
    for values in inputs:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            model(values)
        graphs.append(graph)
    return lambda index: graphs[index].replay()


def measure(torch, function, inputs, rounds=15):
    """The median of rounds in milliseconds a call, by the device's clock; inputs take turns."""
    for value in list(inputs) * 3:
        function(value)
    torch.cuda.synchronize()
    begin = time.monotonic()
    function(inputs[0])
    torch.cuda.synchronize()
    calls = max(len(inputs), min(40, int(0.05 / max(time.monotonic() - begin, 1e-6))))
    times = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for i in range(calls):
            function(inputs[i % len(inputs)])
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / calls)
    return statistics.median(times)


def table(ours, theirs):
    """Markdown: ours beside each mode of PyTorch."""
    cell = lambda value: f"{value:.3f}" if value is not None else "not measured"
    lines = ["| network | batch | Sandglass ms | frames/s | eager | CUDA graph | compiled | ratio to the best |",
             "|---|---|---|---|---|---|---|---|"]
    for name in [*NETWORKS, *INTEGERS]:
        peer = INTEGERS.get(name, name)
        for batch in BATCHES:
            own = ours["networks"][name]["batches"][str(batch)]
            modes = [theirs.get(peer, {}).get(batch, {}).get(mode) for mode in ("eager", "graph", "compiled")]
            best = min((mode for mode in modes if mode is not None), default=None)
            ratio = f"{own['network_ms'] / best:.2f}" if best else "not measured"
            lines.append(f"| {name} | {batch} | {cell(own['network_ms'])} | {own['frames_a_second']:.0f} | "
                         f"{' | '.join(map(cell, modes))} | {ratio} |")
    for name in [*NETWORKS, *INTEGERS]:
        pipeline = ours["networks"][name]["pipeline"]
        lines.append(f"\n{name}: a frame in pinned memory to detections in the host's memory "
                     f"{pipeline['pinned_to_detections_ms']:.3f} ms; with resizing {pipeline['with_preprocessing_ms']:.3f} ms")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(HERE / "cuda"), help="the built benchmark `cuda` of the detector")
    parser.add_argument("--minutes", type=float, default=9.0, help="time for everything")
    parser.add_argument("--json", help="where the report goes")
    parser.add_argument("--skip", default="", help="what is left out, by name and comma")
    arguments = parser.parse_args()
    skip = set(filter(None, arguments.skip.split(",")))
    program = str(Path(arguments.program).resolve())
    run = Run(program, arguments.minutes)
    if shutil.which("nvidia-smi"):
        run.call("device", ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
    run.report["command"] = " ".join(sys.argv)
    if "parity" not in skip:
        run.call("parity", [program, "parity"])
    if "sanitizer" not in skip:
        sanitizer = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
        if Path(sanitizer).exists():
            for tool in ("memcheck", "racecheck", "synccheck"):
                run.call(tool, [sanitizer, "--tool", tool, "--error-exitcode", "9", program, "small"], keep=12)
        else:
            print("compute-sanitizer is not here: not measured")
            run.report["sanitizer"] = "not measured"
    if "leak" not in skip:
        run.call("leak", [program, "leak"])
    lines = run.call("speed", [program, "speed"], keep=1)
    theirs = {}
    if "peers" not in skip:
        try:
            theirs = peers(run, HERE)
        except Exception as error:  # noqa: BLE001: our own figures are worth printing without the peers
            print(f"peers: {error!r}")
            run.failed.append("peers")
    if lines:
        ours = json.loads(lines[-1])
        run.report.update(ours=ours, peers=theirs, table=table(ours, theirs))
        print("\n" + run.report["table"])
    for name in [*NETWORKS, *INTEGERS]:
        for batch in ("1", "64"):
            if run.left() > 20:
                run.call(f"profile {name} {batch}", [program, "profile", name, batch], keep=70)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(run.report, indent=1))
    print(f"\nfailed: {', '.join(run.failed) or 'nothing'}")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
