#!/usr/bin/env python3
"""Times the detectors' networks beside ONNX Runtime and OpenVINO: same graph, same weights, same input, f32,
batch 1, one run of each in turn.

    python3 -m venv .venv && .venv/bin/pip install -r detector/benches/peers-requirements.txt
    .venv/bin/python detector/benches/peers.py [--rounds 60] [--threads 1 2] [NAME ...]

Prints medians in milliseconds and our ratio to the better peer, after checking that all outputs agree to
1e-3 of their range. Exit status 1 where they do not.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter_ns, sleep

import numpy as np
import onnx
import onnxruntime
import openvino

ROOT = Path(__file__).resolve().parents[2]
SIZE = 320
WARM_UP = 10
# Before each run: peers' threads go on spinning for a while, and would take the next one's processor time.
PAUSE = 0.03
TOLERANCE = 1e-3


def executable(kind: str, name: str) -> str:
    """Builds a bench or a binary in release mode, and says where it is."""
    command = {"bench": ["cargo", "bench", "--no-run", "--bench", name],
               "bin": ["cargo", "build", "--release", "--bin", name]}[kind]
    text = subprocess.run([*command, "--workspace", "--message-format=json"], cwd=ROOT, check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    artifacts = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return next(a["executable"] for a in artifacts
                if a.get("executable") and a["target"]["name"] == name and kind in a["target"]["kind"])


class Ours:
    name = "Sandglass"

    def __init__(self, bench: str, backbone: str, threads: int, values: np.ndarray, folder: Path,
                 options: list[str] | None = None):
        source, self.result = folder / "input.f32", folder / "output.f32"
        np.ascontiguousarray(values.transpose(0, 2, 3, 1)).tofile(source)
        command = [bench, "--threads", str(threads), *(options or []), "--serve", str(source), backbone]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.run()

    def run(self, line: str = "run") -> float:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline()) / 1e6

    def outputs(self) -> list[np.ndarray]:
        self.run(f"write {self.result}")
        return [np.fromfile(self.result, np.float32)]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class OnnxRuntime:
    name = f"ONNX Runtime {onnxruntime.__version__}"

    def __init__(self, model: str, threads: int, values: np.ndarray):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.values = {"input": values}

    def outputs(self) -> list[np.ndarray]:
        return self.session.run(None, self.values)

    def run(self) -> float:
        start = perf_counter_ns()
        self.outputs()
        return (perf_counter_ns() - start) / 1e6

    def close(self) -> None:
        pass


class OpenVino:
    name = f"OpenVINO {openvino.__version__.split('-')[0]}"

    def __init__(self, model: str, threads: int, values: np.ndarray):
        core = openvino.Core()
        network = core.read_model(model)
        network.reshape([1, 3, SIZE, SIZE])
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_PRECISION_HINT": "f32"}
        self.request = core.compile_model(network, "CPU", settings).create_infer_request()
        self.values = values

    def outputs(self) -> list[np.ndarray]:
        return [np.array(v) for v in self.request.infer([self.values], share_inputs=True).values()]

    def run(self) -> float:
        start = perf_counter_ns()
        self.request.infer([self.values], share_inputs=True, share_outputs=True)
        return (perf_counter_ns() - start) / 1e6

    def close(self) -> None:
        pass


def difference(expected: np.ndarray, got: np.ndarray) -> float:
    return float(np.abs(expected - got).max() / (expected.max() - expected.min()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["mobilenext-1.0", "mobilenet-v2-1.0"])
    parser.add_argument("--rounds", type=int, default=60, help="timed runs of each")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    bench, command = executable("bench", "network"), executable("bin", "sandglass-detect")
    values = np.random.default_rng(1).normal(size=(1, 3, SIZE, SIZE)).astype(np.float32)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name in arguments.names:
            model = str(folder / f"{name}.onnx")
            subprocess.run([command, "export", "--backbone", name, "--onnx", model], check=True,
                           stdout=subprocess.DEVNULL)
            onnx.checker.check_model(onnx.load(model), full_check=True)
            for threads in arguments.threads:
                engines = [Ours(bench, name, threads, values, folder), OnnxRuntime(model, threads, values),
                           OpenVino(model, threads, values)]
                results = [np.concatenate([o.ravel() for o in e.outputs()]) for e in engines]
                worst = max(difference(results[1], result) for result in results)
                failed |= not worst <= TOLERANCE
                times = [[] for _ in engines]
                for round_ in range(WARM_UP + arguments.rounds):
                    for engine, list_ in zip(engines, times):
                        sleep(PAUSE)
                        took = engine.run()
                        if round_ >= WARM_UP:
                            list_.append(took)
                for engine in engines:
                    engine.close()
                medians = [median(list_) for list_ in times]
                cells = ", ".join(f"{e.name} {m:.2f} ms" for e, m in zip(engines, medians))
                ratio = medians[0] / min(medians[1:])
                print(f"{name}, {threads} thread{'s' * (threads > 1)}: {cells}; ratio {ratio:.2f}; "
                      f"outputs within {worst:.1e} of their range", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
