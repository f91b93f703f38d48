#!/bin/sh
# Checks and measures this machine's GPU with LLaMA-CCS built for LibTorch TORCH, in nine minutes at most, without network.
# LIBTORCH names a LibTorch's folder (or a Python's site-packages/torch); without it, python3's PyTorch is taken.
#
#   ./run.sh [--device cuda] [--small]      # writes gpu-check.json here
set -eu
here=$(dirname "$(readlink -f "$0")")
torch=${LIBTORCH:-$(python3 -c 'import torch; print(torch.__path__[0])')} ||
  { echo "error: python3 has no torch; set LIBTORCH to the folder of LibTorch TORCH" >&2; exit 1; }
[ -e "$torch/lib/libtorch_cpu.so" ] || { echo "error: there is no lib/libtorch_cpu.so in $torch" >&2; exit 1; }

programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
tar -xzf "$here/programs.tar.gz" -C "$programs"
export LD_LIBRARY_PATH="$torch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
nvidia-smi || true
"$programs/llama-ccs" doctor --json >"$here/doctor.json" || true
cat "$here/doctor.json"
# The check ends by itself before its time is up; a call that never returns is ended here.
timeout 530 "$programs/gpu_check" --cases "$here/cases" --out "$here/gpu-check.json" --seconds 480 "$@"
