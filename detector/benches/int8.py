#!/usr/bin/env python3
"""What eight bits cost and bring: mAP before and after, size, and latency beside our f32 and ONNX Runtime's int8,
one run of each in turn.

    .venv/bin/python detector/benches/int8.py --calibration PICTURES [--voc VOC2007] [NAME|WEIGHTS ...]

(the environment of peers.py). Each network is quantised with the pictures. ONNX Runtime runs two models: the QDQ model
that we export, and what its own `quantize_static` makes of our f32 model, calibrated with noise, which matters for its
accuracy but not for its speed. Our engine is timed without AVX-512, too. Prints medians in milliseconds.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from time import sleep

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from peers import SIZE, WARM_UP, OnnxRuntime, Ours, executable


# ONNX Runtime's threads go on spinning after a run, and would take the next one's processors.
PAUSE = 0.15


class Noise(CalibrationDataReader):
    def __init__(self):
        random = np.random.default_rng(2)
        self.left = iter([random.normal(size=(1, 3, SIZE, SIZE)).astype(np.float32) for _ in range(8)])

    def get_next(self):
        values = next(self.left, None)
        return None if values is None else {"input": values}


def said(*command) -> str:
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def mean_ap(evaluate: str, voc: Path, weights: list) -> str:
    """11-point and all-point mAP in percent."""
    line = next(l for l in said(evaluate, "--voc", voc, "--split", "test", *weights).splitlines() if l.startswith("mean"))
    return " / ".join(line.split()[1:3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["mobilenext-1.0", "mobilenet-v2-1.0"])
    parser.add_argument("--calibration", required=True, type=Path, help="folder of pictures")
    parser.add_argument("--voc", type=Path, help="VOC2007 with its test set; without it no mAP")
    parser.add_argument("--rounds", type=int, default=60, help="timed runs of each")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    bench, detect = executable("bench", "network"), executable("bin", "sandglass-detect")
    values = np.random.default_rng(1).normal(size=(1, 3, SIZE, SIZE)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for network in arguments.networks:
            chosen = ["--weights" if network.endswith(".safetensors") else "--backbone", network]
            small = folder / "int8.safetensors"
            print(said(detect, "quantize", *chosen, "--calibration", arguments.calibration, "--out", small, "--force"),
                  end="", flush=True)
            said(detect, "export", *chosen, "--onnx", folder / "f32.onnx", "--force")
            said(detect, "export", "--weights", small, "--onnx", folder / "qdq.onnx", "--force")
            quant_pre_process(folder / "f32.onnx", folder / "prepared.onnx", skip_symbolic_shape=True)
            quantize_static(folder / "prepared.onnx", folder / "own.onnx", Noise(), quant_format=QuantFormat.QDQ,
                            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
            if arguments.voc:
                evaluate = executable("bin", "sandglass-eval")
                print(f"  mAP in f32 {mean_ap(evaluate, arguments.voc, chosen)}, "
                      f"in int8 {mean_ap(evaluate, arguments.voc, ['--weights', small])}", flush=True)
            for threads in arguments.threads:
                engines = {
                    "f32": Ours(bench, network, threads, values, folder),
                    "int8": Ours(bench, str(small), threads, values, folder),
                    "f32, AVX2": Ours(bench, network, threads, values, folder, ["--set", "avx2"]),
                    "int8, AVX2": Ours(bench, str(small), threads, values, folder, ["--set", "avx2"]),
                    "ONNX Runtime, our QDQ": OnnxRuntime(str(folder / "qdq.onnx"), threads, values),
                    "ONNX Runtime, its own int8": OnnxRuntime(str(folder / "own.onnx"), threads, values),
                }
                times = {name: [] for name in engines}
                for round_ in range(WARM_UP + arguments.rounds):
                    for name, engine in engines.items():
                        sleep(PAUSE)
                        took = engine.run()
                        if round_ >= WARM_UP:
                            times[name].append(took)
                for engine in engines.values():
                    engine.close()
                medians = {name: median(list_) for name, list_ in times.items()}
                peer = min(medians["ONNX Runtime, our QDQ"], medians["ONNX Runtime, its own int8"])
                print(f"  {threads} thread{'s' * (threads > 1)}: "
                      + ", ".join(f"{name} {m:.2f} ms" for name, m in medians.items())
                      + f"; int8 to f32 {medians['int8'] / medians['f32']:.2f}"
                      + f", with AVX2 {medians['int8, AVX2'] / medians['f32, AVX2']:.2f}"
                      + f"; to ONNX Runtime {onnxruntime.__version__} {medians['int8'] / peer:.2f}", flush=True)


if __name__ == "__main__":
    main()
