#!/bin/sh
# `llama-ccs setup`: puts LibTorch TORCH into lib/, beside the programs.
set -eu

home=$(dirname "$(dirname "$(readlink -f "$0")")")
usage="Usage: llama-ccs setup [--wheels FOLDER | --use FOLDER]

Puts LibTorch TORCH, without CUDA, into $home/lib: 540 MB from PyPI, of which 440 MB are kept.

  --wheels FOLDER  takes the files of PyPI from there, where this machine has no network
  --use FOLDER     uses a LibTorch TORCH that is on this machine, with CUDA if it has it: an unpacked LibTorch, or the
                   folder that python3 -c 'import torch; print(torch.__path__[0])' prints

Downloading takes curl, wget, or python3; unpacking unzip, bsdtar, or python3."

fail() {
  echo "error: $1" >&2
  [ -z "${2-}" ] || echo "hint: $2" >&2
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

wheels= use=
while [ $# -gt 0 ]; do
  case "$1" in
    --help | -h) echo "$usage"; exit 0 ;;
    --wheels | --use)
      [ $# -gt 1 ] || { echo "$usage" >&2; exit 2; }
      case "$1" in --use) use=$2 ;; *) wheels=$2 ;; esac
      shift 2 ;;
    *) echo "$usage" >&2; exit 2 ;;
  esac
done

# Everything is made beside lib/ and moved at the end: what is interrupted leaves nothing half-made.
making=$home/lib.making
rm -rf "$making"

if [ -n "$use" ]; then
  [ -e "$use/lib/libtorch_cpu.so" ] || fail "there is no lib/libtorch_cpu.so in $use"
  [ "$(cat "$use/build-version" 2>/dev/null)" = TORCH ] || grep -q "'TORCH[+']" "$use/version.py" 2>/dev/null ||
    fail "the LibTorch in $use is not TORCH" "these programs were built for TORCH; another release computes wrongly"
  ln -s "$(readlink -f "$use/lib")" "$making"
else
  mkdir "$making"
  trap 'rm -rf "$making"' EXIT
  while read -r url sum keep; do
    file=${url##*/}
    if [ -n "$wheels" ]; then
      wheel=$wheels/$file
      [ -e "$wheel" ] || fail "$wheel is not there" "fetch it from $url"
    else
      wheel=$making/$file
      echo "fetching $file" >&2
      if has curl; then
        curl -fsSL "$url" -o "$wheel"
      elif has wget; then
        wget -q "$url" -O "$wheel"
      elif has python3; then
        python3 -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])' "$url" "$wheel"
      else
        fail "there is no curl, wget, or python3 to fetch with" \
          "install one, or bring $url and the others, and use --wheels"
      fi || fail "could not fetch $url"
    fi
    [ "$(sha256sum <"$wheel")" = "$sum  -" ] || fail "$wheel is not what PyPI has: its hash is another" \
      "the download was cut off, or the file was changed"
    for member in $(echo "$keep" | tr , ' '); do
      if has unzip; then
        unzip -q -j "$wheel" "$member" -d "$making"
      elif has bsdtar; then
        bsdtar -xOf "$wheel" "$member" >"$making/${member##*/}"
      elif has python3; then
        python3 -c 'import sys, zipfile, shutil
wheel, member, into = sys.argv[1:]
with zipfile.ZipFile(wheel).open(member) as packed, open(into, "wb") as file: shutil.copyfileobj(packed, file)' \
          "$wheel" "$member" "$making/${member##*/}"
      else
        fail "there is no unzip, bsdtar, or python3 to unpack with"
      fi || fail "could not unpack $member from $wheel"
    done
    [ -n "$wheels" ] || rm "$wheel"
  done <<END
WHEELS
END
  trap - EXIT
fi
rm -rf "$home/lib"
mv -T "$making" "$home/lib"
echo "LibTorch TORCH is in $home/lib" >&2
