"""candle-mi (Rust) on the prompts of a CSV: builds `candle-mi/` and runs it.

    python candle_mi_prompts.py MODEL PROMPTS.csv [--dtype bf16]

A GGUF file is first written as a Hugging Face folder, in f32, by transformers.
"""

import argparse
import csv
import json
import os
import subprocess
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("prompts")
parser.add_argument("--dtype", default="f32")
args = parser.parse_args()

with open(args.prompts, newline="") as file:
    rows = list(csv.DictReader(file))
prompts = [row[side] for row in rows for side in ("plus_prompt", "minus_prompt")]

with tempfile.TemporaryDirectory() as folder:
    model = Path(args.model)
    if model.suffix == ".gguf":
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        loaded = AutoModelForCausalLM.from_pretrained(model.parent, gguf_file=model.name, dtype=torch.float32)
        del loaded.config.quantization_config
        loaded.is_quantized, loaded.hf_quantizer, loaded.quantization_method = False, None, None
        tokenizer = AutoTokenizer.from_pretrained(model.parent, gguf_file=model.name)
        model = Path(folder) / "model"
        loaded.save_pretrained(model)
        tokenizer.save_pretrained(model)
    texts = Path(folder) / "prompts.json"
    texts.write_text(json.dumps(prompts))
    crate = Path(__file__).parent / "candle-mi" / "Cargo.toml"
    # Beside the workspace's own builds, for this machine's own instructions.
    target = Path(os.environ.get("CARGO_TARGET_DIR", crate.parents[3] / "target")) / "peers"
    environment = {**os.environ, "RUSTFLAGS": "-C target-cpu=native", "CARGO_TARGET_DIR": str(target)}
    command = ["cargo", "run", "--quiet", "--release", "--manifest-path", str(crate), "--"]
    subprocess.run([*command, str(model), str(texts), args.dtype], check=True, env=environment)
