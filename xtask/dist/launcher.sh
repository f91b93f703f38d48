#!/bin/sh
# Starts libexec/NAME with the LibTorch in lib/. The program itself cannot fetch LibTorch: it does not start without it.
home=$(dirname "$(dirname "$(readlink -f "$0")")")
if [ NAME = llama-ccs ] && [ "${1-}" = setup ]; then
  shift
  exec sh "$home/libexec/setup" "$@"
fi
if [ ! -e "$home/lib/libtorch_cpu.so" ]; then
  echo "error: there is no LibTorch in $home/lib" >&2
  echo "hint: run \`$home/bin/llama-ccs setup\`, which fetches LibTorch TORCH from PyPI (540 MB, once)" >&2
  exit 1
fi
exec "$home/libexec/NAME" "$@"
