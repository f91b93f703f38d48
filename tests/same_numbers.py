"""Compare two sets of stores and runs: `python3 tests/same_numbers.py BEFORE AFTER [KEY=NEWKEY …]`.

For changes that must not change a number, such as a rename. BEFORE and AFTER are folders with the stores, runs, and prompts
that the same commands made with the programs of two versions. Compared are a store's arrays and rows, `split.json`,
`results.csv`, `transfer.csv`, and prompts byte for byte, every tensor of a probe, and every leaf of `report.json`. Texts may
change and are listed; keys that only AFTER has are listed too. It ends with 1 if a number differs.
"""

import json
import pathlib
import struct
import sys

before, after = map(pathlib.Path, sys.argv[1:3])
renamed = dict(pair.split("=") for pair in sys.argv[3:])
wrong, words, new = [], [], set()
def tensors(path):
    raw = path.read_bytes(); n = struct.unpack("<Q", raw[:8])[0]; head = json.loads(raw[8:8+n]); body = raw[8+n:]
    return {k: (v["dtype"], v["shape"], body[slice(*v["data_offsets"])]) for k, v in head.items() if k != "__metadata__"}
def leaves(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items(): yield from leaves(inner, f"{path}/{renamed.get(key, key)}")
    elif isinstance(value, list):
        for at, inner in enumerate(value): yield from leaves(inner, f"{path}/{at}")
    else: yield path, value
def document(a, b, name):
    x, y = dict(leaves(json.loads(a.read_text()))), dict(leaves(json.loads(b.read_text())))
    for path, value in x.items():
        if path not in y: wrong.append(f"{name}{path} is gone (was {value})")
        elif type(value) is str or type(y[path]) is str:
            if value != y[path]: words.append(f"{name}{path}: {value} -> {y[path]}")
        elif value != y[path]: wrong.append(f"{name}{path}: {value} -> {y[path]}")
    new.update(p.split("/")[1] for p in y if p not in x)
for old in sorted(p for p in before.rglob("*") if p.is_file()):
    name = str(old.relative_to(before)); now = after / name
    if not now.exists(): wrong.append(f"{name} is gone"); continue
    if name.endswith(".safetensors"):
        if tensors(old) != tensors(now): wrong.append(f"{name}: other tensors")
    elif name.endswith("report.json") or name.endswith("manifest.json") or name.endswith("-eval.json"): document(old, now, name)
    elif name.endswith((".npy", ".csv", "rows.parquet", "split.json")) or name.endswith("journal"):
        if old.read_bytes() != now.read_bytes(): wrong.append(f"{name}: other bytes")
for what, lines in (("WRONG", wrong), ("words", words)):
    print(f"{what}: {len(lines)}"); print("\n".join("  " + l[:300] for l in lines[:int(60)]))
print("new keys:", sorted(new))
sys.exit(bool(wrong))
