"""Golden references: the same small LLaMA in every layout, computed by other programs in float64.

    python make.py        (torch 2.13, transformers 5, safetensors, gguf, sentencepiece, tokenizers, scikit-learn, numpy)

Everything beside the two scripts is made by this one, from the seeds below:

  questions.jsonl          rows as BoolQ has them, from text.py
  llama/                   LLaMA 1's shape, random f16 weights, a SentencePiece tokenizer trained on the passages
    meta-1, meta-2           Meta's layout by torch.save, in one and in two model-parallel parts
    hugging-face             the same by transformers' save_pretrained, in several files with an index
    llama-f16.gguf           the same by the gguf package
  llama3/                  LLaMA 3's shape: grouped queries, a head_dim of its own, scaled rotary wavelengths, bf16,
                           byte-level BPE in tokenizer.json with BOS
  quantized.gguf           tied embeddings, Q4_1 and Q8_0 (SmolLM2's kinds), byte-level BPE inside, no BOS
  */expected.safetensors   {plus,minus}.states.{row} [L + 1, D] (before the final norm) and .logits.{row} [V], of the last token
  */prompts.json           prompts and ids of both sides

`llama` is computed by the mathematics of the LLaMA paper as written in `llama_v1` below (interleaved rotary pairs, norms,
SwiGLU), the two others by transformers; all in float64. transformers makes its rotation angles and its norms in float32
whatever the model's type (and the softmax of its "eager" attention; "sdpa" does not): `exact` replaces those two. On `llama` both agree, and this script checks it.
  ccs/                     what the probes are compared with: see ccs.py
"""
import copy, json, math, shutil
from pathlib import Path

import gguf, numpy as np, sentencepiece, torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from text import PASSAGES, prompt, questions

HERE = Path(__file__).parent
ROWS = list(questions())
TEXTS = [text for title, passage, _ in PASSAGES for text in (title, passage)] + [prompt(row, a) for row in ROWS for a in (True, False)]


def fresh(folder):
    shutil.rmtree(HERE / folder, ignore_errors=True)
    (HERE / folder).mkdir(parents=True)
    return HERE / folder


def sides(ids_of):
    """prompts.json's rows."""
    return [{"index": i, "answer": row["answer"]}
            | {f"{side}_prompt": prompt(row, a) for side, a in (("plus", True), ("minus", False))}
            | {f"{side}_tokens": ids_of(prompt(row, a)) for side, a in (("plus", True), ("minus", False))}
            for i, row in enumerate(ROWS)]


def expected(folder, rows, run):
    """expected.safetensors and prompts.json; `run` gives [L + 1, D] and [V] of the last token."""
    tensors = {}
    for i, row in enumerate(rows):
        for side in ("plus", "minus"):
            states, logits = run(row[f"{side}_tokens"])
            tensors[f"{side}.states.{i}"], tensors[f"{side}.logits.{i}"] = states.contiguous(), logits.contiguous()
    assert all(t.dtype == torch.float64 for t in tensors.values())
    save_file(tensors, folder / "expected.safetensors")
    (folder / "prompts.json").write_text(json.dumps(rows, ensure_ascii=False))


def exact(model, factor=lambda wavelength: 1.0):
    """Rotation angles and norms in float64; `factor` stretches a wavelength."""
    config = model.config
    frequencies = config.rope_parameters["rope_theta"] ** (-torch.arange(0, config.head_dim, 2).double() / config.head_dim)
    frequencies = torch.tensor([f / factor(2 * math.pi / f) for f in frequencies.tolist()], dtype=torch.float64)
    theirs = model.model.rotary_emb.inv_freq.double()
    assert torch.allclose(frequencies, theirs, rtol=1e-6, atol=0), (frequencies, theirs)

    def angles(x, position_ids):
        angle = torch.cat([position_ids[..., None].double() * frequencies] * 2, -1)
        return angle.cos(), angle.sin()
    model.model.rotary_emb.forward = angles
    for norm in [m for m in model.modules() if isinstance(m, LlamaRMSNorm)]:
        norm.forward = lambda x, norm=norm: norm.weight * (x / torch.sqrt((x * x).mean(-1, keepdim=True) + norm.variance_epsilon))
    return model


def by_transformers(model):
    """Residual stream of the last token at every layer, before the final norm, and its logits."""
    stream = []
    for block in model.model.layers:
        block.register_forward_pre_hook(lambda _, args: stream.append(args[0][0, -1]))
    model.model.norm.register_forward_pre_hook(lambda _, args: stream.append(args[0][0, -1]))

    def run(ids):
        stream.clear()
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        return torch.stack(stream), logits
    return run


def random_weights(model, seed, dtype):
    """Norms about 1, matrices of a size at which every block changes the stream; rounded to what is stored."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            p.copy_((1 + 0.1 * noise if p.dim() == 1 else noise / math.sqrt(p.shape[1]) * 1.5).to(dtype))
    return model.double().eval()


def llama_v1(weights, heads, eps, ids):
    """LLaMA 1 (Touvron et al. 2023) in float64, under Meta's names and in its order of rotary pairs."""
    norm = lambda x, gain: x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * gain
    w = {name: t.double() for name, t in weights.items()}
    x = w["tok_embeddings.weight"][torch.tensor(ids)]                                       # [T, D]
    tokens, dim = x.shape
    k = dim // heads
    angle = torch.arange(tokens).double()[:, None] * 10000.0 ** (-torch.arange(0, k, 2).double() / k)
    cos, sin = torch.cos(angle)[:, None], torch.sin(angle)[:, None]                         # [T, 1, K/2]

    def rotated(x):                                                                         # pairs (2i, 2i + 1)
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)
    mask = torch.full((tokens, tokens), -math.inf, dtype=torch.float64).triu(1)
    stream, layer = [x[-1]], 0
    while f"layers.{layer}.attention.wq.weight" in w:
        of = lambda name: w[f"layers.{layer}.{name}.weight"]
        h = norm(x, of("attention_norm"))
        q, key, v = ((h @ of(f"attention.{name}").T).view(tokens, heads, k) for name in ("wq", "wk", "wv"))
        scores = torch.einsum("qhk,shk->hqs", rotated(q), rotated(key)) / math.sqrt(k) + mask
        z = torch.einsum("hqs,shk->qhk", scores.softmax(-1), v).reshape(tokens, dim)
        x = x + z @ of("attention.wo").T
        h = norm(x, of("ffn_norm"))
        gate = h @ of("feed_forward.w1").T
        x = x + (gate * torch.sigmoid(gate) * (h @ of("feed_forward.w3").T)) @ of("feed_forward.w2").T
        stream.append(x[-1])
        layer += 1
    return torch.stack(stream), norm(x[-1], w["norm.weight"]) @ w["output.weight"].T


def interleaved(weight, heads):
    """Rows (i, i + K/2) of each head, Hugging Face's order, to (2i, 2i + 1), Meta's."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


# What Meta calls a tensor, and the axis along which model-parallel parts split it.
META = {"self_attn.q_proj": ("attention.wq", 0), "self_attn.k_proj": ("attention.wk", 0), "self_attn.v_proj": ("attention.wv", 0),
        "self_attn.o_proj": ("attention.wo", 1), "mlp.gate_proj": ("feed_forward.w1", 0), "mlp.down_proj": ("feed_forward.w2", 1),
        "mlp.up_proj": ("feed_forward.w3", 0), "input_layernorm": ("attention_norm", None),
        "post_attention_layernorm": ("ffn_norm", None)}


def meta_weights(state, layers, heads):
    out = {"tok_embeddings.weight": (state["model.embed_tokens.weight"], 1), "norm.weight": (state["model.norm.weight"], None),
           "output.weight": (state["lm_head.weight"], 0)}
    for i in range(layers):
        for theirs, (ours, axis) in META.items():
            weight = state[f"model.layers.{i}.{theirs}.weight"]
            if ours in ("attention.wq", "attention.wk"):
                weight = interleaved(weight, heads)
            out[f"layers.{i}.{ours}.weight"] = (weight, axis)
    return out


GGUF = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.down_proj": "ffn_down", "mlp.up_proj": "ffn_up", "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm"}


def gguf_names(state, config):
    """GGUF keeps the queries and keys of `llama` in Meta's order of rotary pairs."""
    yield "token_embd.weight", state["model.embed_tokens.weight"]
    for i in range(config.num_hidden_layers):
        for theirs, ours in GGUF.items():
            weight = state[f"model.layers.{i}.{theirs}.weight"]
            if ours in ("attn_q", "attn_k"):
                weight = interleaved(weight, config.num_attention_heads if ours == "attn_q" else config.num_key_value_heads)
            yield f"blk.{i}.{ours}.weight", weight
    yield "output_norm.weight", state["model.norm.weight"]
    if not config.tie_word_embeddings:
        yield "output.weight", state["lm_head.weight"]


def gguf_writer(path, config):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("golden")
    writer.add_context_length(2048)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    return writer


def close(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama():
    folder = fresh("llama")
    vocab = 384
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_prefix=str(folder / "tokenizer"), vocab_size=vocab, model_type="bpe", byte_fallback=True,
        character_coverage=0.999, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
        allow_whitespace_only_pieces=True, bos_id=1, eos_id=2, unk_id=0, pad_id=-1, num_threads=1, minloglevel=2)
    (folder / "tokenizer.vocab").unlink()
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    config = LlamaConfig(hidden_size=48, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4, vocab_size=vocab,
                         rms_norm_eps=1e-6, tie_word_embeddings=False, attn_implementation="sdpa", max_position_embeddings=2048,
                         bos_token_id=1, eos_token_id=2)
    model = random_weights(LlamaForCausalLM(config), 1, torch.float16)
    state = {name: t.to(torch.float16) for name, t in model.state_dict().items()}
    parts = meta_weights(state, 3, 4)
    params = dict(dim=48, multiple_of=32, n_heads=4, n_layers=3, norm_eps=1e-6, vocab_size=-1)  # 2/3 of 4·48 is 128
    for count in (1, 2):
        part = fresh(f"llama/meta-{count}")
        for rank in range(count):
            torch.save({name: (t if axis is None else t.chunk(count, axis)[rank]).clone() for name, (t, axis) in parts.items()},
                       part / f"consolidated.{rank:02}.pth")
        (part / "params.json").write_text(json.dumps(params))
    hf = folder / "hugging-face"
    # A copy, because `.half()` rounds the rotary frequencies as well.
    copy.deepcopy(model).half().save_pretrained(hf, max_shard_size="110KB")
    (hf / "generation_config.json").unlink(missing_ok=True)
    shutil.copy(folder / "tokenizer.model", hf / "tokenizer.model")
    writer = gguf_writer(folder / "llama-f16.gguf", config)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([pieces.id_to_piece(i) for i in range(vocab)])
    writer.add_token_scores([pieces.get_score(i) for i in range(vocab)])
    kind = lambda i: 2 if pieces.is_unknown(i) else 3 if pieces.is_control(i) else 6 if pieces.is_byte(i) else 1
    writer.add_token_types([kind(i) for i in range(vocab)])
    for key, value in (("bos", 1), ("eos", 2), ("unk", 0)):
        getattr(writer, f"add_{key}_token_id")(value)
    writer.add_add_bos_token(True)
    for name, t in gguf_names(state, config):
        writer.add_tensor(name, t.float().numpy() if t.dim() == 1 else t.numpy())
    close(writer)

    rows = sides(lambda text: [1] + pieces.encode(text))
    meta = {name: t for name, (t, _) in parts.items()}
    theirs, largest = by_transformers(exact(model)), 0.0
    for row in rows:
        ours, found = llama_v1(meta, 4, 1e-6, row["plus_tokens"]), theirs(row["plus_tokens"])
        largest = max([largest] + [float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, found)])
    print("llama_v1 and transformers differ by", largest)
    assert largest < 1e-12
    expected(folder, rows, lambda ids: llama_v1(meta, 4, 1e-6, ids))


def byte_level(vocab, specials):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    assert tokenizer.get_vocab_size() == vocab
    return tokenizer


def llama3_factor(wavelength, factor=4.0, low=1.0, high=4.0, context=64):
    """LLaMA 3.1's rule: waves longer than context/low are stretched whole, those shorter than context/high not at all."""
    share = min(max((context / wavelength - low) / (high - low), 0.0), 1.0)
    return 1 / ((1 - share) / factor + share)


def llama3():
    folder = fresh("llama3")
    tokenizer = byte_level(448, ["<|begin_of_text|>", "<|end_of_text|>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>").save_pretrained(folder)
    # Of an original context of 64 there are wavelengths below a quarter, above the whole, and between.
    config = LlamaConfig(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                         head_dim=32, vocab_size=448, rms_norm_eps=1e-5, tie_word_embeddings=False, attn_implementation="sdpa",
                         bos_token_id=0, eos_token_id=1, max_position_embeddings=512,
                         rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0,
                                              high_freq_factor=4.0, original_max_position_embeddings=64))
    model = random_weights(LlamaForCausalLM(config), 2, torch.bfloat16)
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="110KB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    # `.to` rounds the rotary frequencies as well; a model read anew has them whole.
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="sdpa").eval()
    auto = AutoTokenizer.from_pretrained(folder)
    expected(folder, sides(lambda text: auto(text)["input_ids"]), by_transformers(exact(model, llama3_factor)))


def quantized():
    folder = fresh("quantized")
    tokenizer = byte_level(320, ["<|endoftext|>"])
    config = LlamaConfig(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                         vocab_size=320, rms_norm_eps=1e-5, tie_word_embeddings=True, attn_implementation="sdpa", head_dim=16)
    model = random_weights(LlamaForCausalLM(config), 3, torch.float32)
    writer = gguf_writer(folder / "quantized.gguf", config)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    vocabulary = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(vocabulary["vocab"], key=vocabulary["vocab"].get)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if t == "<|endoftext|>" else 1 for t in tokens])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in vocabulary["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    state = {}
    types = {"token_embd.weight": gguf.GGMLQuantizationType.Q8_0}
    back = {ours: theirs for theirs, ours in GGUF.items()}
    for name, t in gguf_names({k: v.float() for k, v in model.state_dict().items()}, config):
        if t.dim() == 1:
            writer.add_tensor(name, t.numpy())
            continue
        kind = types.get(name, gguf.GGMLQuantizationType.Q4_1)
        packed = gguf.quants.quantize(t.numpy(), kind)
        writer.add_tensor(name, packed, raw_dtype=kind)
        state[name] = torch.from_numpy(gguf.quants.dequantize(packed, kind)).double()
    close(writer)
    # The model that the file holds.
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(state["token_embd.weight"])
        for i, block in enumerate(model.model.layers):
            for ours, theirs in back.items():
                weight = state.get(f"blk.{i}.{ours}.weight")
                if weight is None:
                    continue
                if ours in ("attn_q", "attn_k"):
                    heads = 4 if ours == "attn_q" else 2
                    rows, columns = weight.shape
                    weight = weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)
                block.get_submodule(theirs).weight.copy_(weight)
    expected(folder, sides(lambda text: tokenizer.encode(text).ids), by_transformers(exact(model)))


(HERE / "questions.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS))
llama()
llama3()
quantized()
print(sum(f.stat().st_size for f in HERE.rglob("*") if f.is_file()), "bytes")
