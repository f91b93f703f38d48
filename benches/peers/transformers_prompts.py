"""Last-token hidden states of every layer for the prompts of a CSV, with Hugging Face transformers on the CPU.

    python transformers_prompts.py MODEL PROMPTS.csv [--dtype bfloat16] [--batch 2]

Needs torch, transformers, accelerate, gguf and numpy. Each prompt runs alone or padded in a batch; nothing is written.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("prompts", help="as `llama-ccs prompts` writes them")
parser.add_argument("--pairs", type=int, help="only the first so many")
parser.add_argument("--dtype", default="float32")
parser.add_argument("--batch", type=int, default=1)
args = parser.parse_args()

path = Path(args.model)
folder, source = (path.parent, {"gguf_file": path.name}) if path.suffix == ".gguf" else (path, {})
tokenizer = AutoTokenizer.from_pretrained(folder, **source)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, args.dtype), **source).eval()
tokenizer.padding_side, tokenizer.pad_token = "left", tokenizer.eos_token

with open(args.prompts, newline="") as file:
    rows = list(csv.DictReader(file))[: args.pairs]
# Prompts of about one length together, so that padding costs this peer as little as it can.
prompts = sorted((row[side] for row in rows for side in ("plus_prompt", "minus_prompt")), key=len)


@torch.inference_mode()
def states(batch):
    tokens = tokenizer(batch, return_tensors="pt", padding=True, add_special_tokens=False)
    shown = model(**tokens, output_hidden_states=True, logits_to_keep=1)
    return torch.stack([layer[:, -1] for layer in shown.hidden_states], 1)


states(prompts[: args.batch])
started = time.perf_counter()
for at in range(0, len(prompts), args.batch):
    states(prompts[at : at + args.batch])
seconds = time.perf_counter() - started
print(json.dumps({"peer": "transformers", "dtype": args.dtype, "batch": args.batch, "pairs": len(rows),
                  "pairs_per_second": round(len(rows) / seconds, 3)}))
