"""Last-token hidden states of every layer for the prompts of a CSV, with Hugging Face transformers on the CPU, as a careful
user writes it: what the two prompts of a pair begin with in common runs once, and both go on from its keys and values.

    python transformers_shared_prompts.py MODEL PROMPTS.csv [--dtype bfloat16]

Needs torch, transformers, accelerate, gguf and numpy. One pair at a time; nothing is written.
"""

import argparse
import csv
import json
import os
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("prompts", help="as `llama-ccs prompts` writes them")
parser.add_argument("--pairs", type=int, help="only the first so many")
parser.add_argument("--dtype", default="float32")
parser.add_argument("--check", action="store_true", help="compare the first pair with its prompts run alone")
args = parser.parse_args()

path = Path(args.model)
folder, source = (path.parent, {"gguf_file": path.name}) if path.suffix == ".gguf" else (path, {})
tokenizer = AutoTokenizer.from_pretrained(folder, **source)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, args.dtype), **source).eval()

with open(args.prompts, newline="") as file:
    rows = list(csv.DictReader(file))[: args.pairs]
pairs = [[tokenizer(row[side], add_special_tokens=False)["input_ids"] for side in ("plus_prompt", "minus_prompt")]
         for row in rows]


def last(ids, cache=None):
    """The last token's state at every layer, for rows of ids of one length. [L + 1, B, D]"""
    shown = model(torch.tensor(ids), past_key_values=cache, output_hidden_states=True, logits_to_keep=1)
    return torch.stack([layer[:, -1] for layer in shown.hidden_states])


@torch.inference_mode()
def states(pair):
    # At least one token of each prompt is left: it is the one whose state is wanted.
    common = len(os.path.commonprefix([pair[0][:-1], pair[1][:-1]]))
    if common == 0:
        return torch.cat([last([ids]) for ids in pair], 1)
    rests = [ids[common:] for ids in pair]
    beginning = DynamicCache()
    model.model(torch.tensor([pair[0][:common]]), past_key_values=beginning)
    if len(rests[0]) == len(rests[1]):  # one pass for both
        beginning.batch_repeat_interleave(2)
        return last(rests, beginning)
    # The first one's tokens are taken back from the cache before the second goes on.
    first = last(rests[:1], beginning)
    beginning.crop(common)
    return torch.cat([first, last(rests[1:], beginning)], 1)


if args.check:
    with torch.inference_mode():
        alone = torch.cat([last([ids]) for ids in pairs[0]], 1)
    assert torch.allclose(states(pairs[0]), alone, rtol=1e-3, atol=1e-3 * alone.abs().max().item())
states(pairs[0])
started = time.perf_counter()
for pair in pairs:
    states(pair)
seconds = time.perf_counter() - started
print(json.dumps({"peer": "transformers, prefixes shared by hand", "dtype": args.dtype, "pairs": len(rows),
                  "pairs_per_second": round(len(rows) / seconds, 3)}))
