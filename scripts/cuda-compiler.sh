#!/usr/bin/env bash
# Installs the compiler whose PTX ships (NVRTC and ptxas 12.4, from PyPI, into the target folder) and names it to
# the tests that compile the CUDA kernels:
#
#     . scripts/cuda-compiler.sh && cargo test --workspace --test ptx
#     . scripts/cuda-compiler.sh && UPDATE_PTX=1 cargo test --workspace --test ptx     after a change of kernels
#
# Nobody needs it to build or to run Sandglass.
cuda_compiler=${CARGO_TARGET_DIR:-$PWD/target}/cuda-compiler
if [ ! -x "$cuda_compiler/nvidia/cuda_nvcc/bin/ptxas" ]; then
    python3 -m pip install --quiet --no-deps --target "$cuda_compiler" --no-compile --upgrade \
        nvidia-cuda-nvrtc-cu12==12.4.127 nvidia-cuda-nvcc-cu12==12.4.131
    chmod +x "$cuda_compiler/nvidia/cuda_nvcc/bin/ptxas"
fi
export PTXAS=$cuda_compiler/nvidia/cuda_nvcc/bin/ptxas
export LD_LIBRARY_PATH=$cuda_compiler/nvidia/cuda_nvrtc/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
