//! Published models of every family: configurations made from their numbers have the published numbers of parameters.
//!
//! The counts are those that model cards and the hub's safetensors metadata state, as public repositories quote them (2026;
//! about a third were written from memory and not looked up again), less the unembedding
//! where the files hold it beside an embedding that it is tied to (Qwen 3 0.6B and 1.7B). Not listed, since their counts could
//! not be had: Qwen 3 14B, Gemma 3 270M, `OLMo` 2 13B and 32B, Phi-3 medium.

use serde_json::{Value, json};

use super::read;

/// Name, `model_type`, hidden and intermediate size, layers, heads, heads of keys and values, vocabulary; tied; parameters.
type Row = (&'static str, &'static str, [i64; 6], bool, i64);

const PUBLISHED: [Row; 34] = [
    ("LLaMA 7B", "llama", [4096, 11008, 32, 32, 32, 32_000], false, 6_738_415_616),
    ("LLaMA 3.1 8B", "llama", [4096, 14336, 32, 32, 8, 128_256], false, 8_030_261_248),
    ("LLaMA 3.3 70B", "llama", [8192, 28672, 80, 64, 8, 128_256], false, 70_553_706_496),
    ("LLaMA 3.1 405B", "llama", [16384, 53248, 126, 128, 8, 128_256], false, 405_853_388_800),
    ("LLaMA 3.2 1B", "llama", [2048, 8192, 16, 32, 8, 128_256], true, 1_235_814_400),
    ("LLaMA 3.2 3B", "llama", [3072, 8192, 28, 24, 8, 128_256], true, 3_212_749_824),
    ("SmolLM2 135M", "llama", [576, 1536, 30, 9, 3, 49_152], true, 134_515_008),
    ("SmolLM2 1.7B", "llama", [2048, 8192, 24, 32, 32, 49_152], true, 1_711_376_384),
    ("Mistral 7B v0.1", "mistral", [4096, 14336, 32, 32, 8, 32_000], false, 7_241_732_096),
    ("Mistral 7B v0.3", "mistral", [4096, 14336, 32, 32, 8, 32_768], false, 7_248_023_552),
    ("Qwen2.5 0.5B", "qwen2", [896, 4864, 24, 14, 2, 151_936], true, 494_032_768),
    ("Qwen2.5 1.5B", "qwen2", [1536, 8960, 28, 12, 2, 151_936], true, 1_543_714_304),
    ("Qwen2.5 3B", "qwen2", [2048, 11008, 36, 16, 2, 151_936], true, 3_085_938_688),
    ("Qwen2.5 7B", "qwen2", [3584, 18944, 28, 28, 4, 152_064], false, 7_615_616_512),
    ("Qwen2.5 14B", "qwen2", [5120, 13824, 48, 40, 8, 152_064], false, 14_770_033_664),
    ("Qwen2.5 32B", "qwen2", [5120, 27648, 64, 40, 8, 152_064], false, 32_763_876_352),
    ("Qwen2.5 72B", "qwen2", [8192, 29568, 80, 64, 8, 152_064], false, 72_706_203_648),
    ("Qwen3 0.6B", "qwen3", [1024, 3072, 28, 16, 8, 151_936], true, 751_632_384 - 151_936 * 1024),
    ("Qwen3 1.7B", "qwen3", [2048, 6144, 28, 16, 8, 151_936], true, 2_031_739_904 - 151_936 * 2048),
    ("Qwen3 4B", "qwen3", [2560, 9728, 36, 32, 8, 151_936], true, 4_022_468_096),
    ("Qwen3 8B", "qwen3", [4096, 12288, 36, 32, 8, 151_936], false, 8_190_735_360),
    ("Qwen3 32B", "qwen3", [5120, 25600, 64, 64, 8, 151_936], false, 32_762_123_264),
    ("Gemma 2 2B", "gemma2", [2304, 9216, 26, 8, 4, 256_000], true, 2_614_341_888),
    ("Gemma 2 9B", "gemma2", [3584, 14336, 42, 16, 8, 256_000], true, 9_241_705_984),
    ("Gemma 2 27B", "gemma2", [4608, 36864, 46, 32, 16, 256_000], true, 27_227_128_320),
    ("Gemma 3 1B", "gemma3_text", [1152, 6912, 26, 4, 1, 262_144], true, 999_885_952),
    ("OLMo 2 1B", "olmo2", [2048, 8192, 16, 16, 16, 100_352], false, 1_484_916_736),
    ("OLMo 2 7B", "olmo2", [4096, 11008, 32, 32, 32, 100_352], false, 7_298_617_344),
    ("Phi-3 mini", "phi3", [3072, 8192, 32, 32, 32, 32_064], false, 3_821_079_552),
    ("Phi-4", "phi3", [5120, 17920, 40, 40, 10, 100_352], false, 14_659_507_200),
    ("Phi-4 mini", "phi3", [3072, 8192, 32, 24, 8, 200_064], true, 3_836_021_760),
    ("SmolLM3 3B", "smollm3", [2048, 11008, 36, 16, 4, 128_256], true, 3_075_098_624),
    ("Granite 3.3 2B", "granite", [2048, 8192, 40, 32, 8, 49_159], true, 2_533_539_840),
    ("Granite 3.3 8B", "granite", [4096, 12800, 40, 32, 8, 49_159], true, 8_170_864_640),
];

#[test]
fn published_models_have_their_numbers_of_parameters() {
    for (name, kind, [hidden, intermediate, layers, heads, kv_heads, vocab], tied, parameters) in PUBLISHED {
        let mut keys: Value = json!({
            "model_type": kind, "hidden_size": hidden, "intermediate_size": intermediate,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
            "vocab_size": vocab, "tie_word_embeddings": tied,
        });
        // Its heads are narrower than the others of its family.
        if name == "Gemma 2 27B" {
            keys["head_dim"] = 128.into();
        }
        let read = read(std::path::Path::new("config.json"), &keys.to_string()).expect(name);
        assert_eq!(read.family.model_type, kind);
        assert_eq!(read.config.n_params(), parameters, "{name}");
    }
}
