//! What a `tokenizer.json`'s post-processor puts around a text: for a LLaMA, BOS before it and nothing after it.
//!
//! It is read here and not left to the `tokenizers` crate, which panics on templates that name missing tokens and whose
//! `ByteLevel` takes the space off the spans.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::Refusal;

const NO_END: &str = "a LLaMA's prompt ends with its last word, and that is the token which is looked at: take the \
                      tokens after the text out of tokenizer.json's post_processor";

/// A LLaMA has one token before a text.
const MOST_BEFORE: usize = 16;

#[derive(Deserialize)]
struct Template {
    single: Vec<Piece>,
    special_tokens: HashMap<String, Special>,
}

#[derive(Deserialize)]
enum Piece {
    Sequence { id: String },
    SpecialToken { id: String },
}

#[derive(Deserialize)]
struct Special {
    ids: Vec<u32>,
}

/// The ids before every text.
pub(super) fn prefix(post_processor: &Value) -> Result<Vec<u32>, Refusal> {
    let ids = of_step(post_processor)?;
    if ids.len() > MOST_BEFORE {
        let count = ids.len();
        return Err(format!(
            "post_processor: it puts {count} tokens before every text, and at most {MOST_BEFORE} are allowed"
        )
        .into());
    }
    Ok(ids)
}

fn of_step(post_processor: &Value) -> Result<Vec<u32>, Refusal> {
    match post_processor.get("type").and_then(Value::as_str) {
        None if post_processor.is_null() => Ok(Vec::new()),
        // Shortens spans only.
        Some("ByteLevel") => Ok(Vec::new()),
        Some("TemplateProcessing") => {
            let template =
                Template::deserialize(post_processor).map_err(|e| format!("post_processor: {e}"))?;
            template.prefix()
        }
        Some("Sequence") => {
            let steps = post_processor.get("processors").and_then(Value::as_array);
            let steps = steps.ok_or("post_processor: a Sequence without processors")?;
            // A later step puts its tokens around what the earlier ones made.
            let mut all = Vec::new();
            for step in steps.iter().rev() {
                all.extend(prefix(step)?);
            }
            Ok(all)
        }
        other => {
            let found = other.unwrap_or("without a type");
            Err(format!(
                "post_processor: {found} is not one of TemplateProcessing, ByteLevel and Sequence of them"
            )
            .into())
        }
    }
}

impl Template {
    fn prefix(&self) -> Result<Vec<u32>, Refusal> {
        let text = |piece: &Piece| matches!(piece, Piece::Sequence { id } if id == "A");
        let at = self.single.iter().position(text);
        let at = at.ok_or("post_processor: its template for one text leaves the text (A) out")?;
        let (before, after) = self.single.split_at(at);
        if let Some(piece) = after.get(1) {
            return Err(match piece {
                Piece::Sequence { .. } => "post_processor: its template for one text has two texts".into(),
                Piece::SpecialToken { id } => {
                    Refusal::new(format!("post_processor: it puts {id:?} after every text"), NO_END)
                }
            });
        }
        let mut ids = Vec::new();
        for piece in before {
            match piece {
                Piece::Sequence { .. } => {
                    return Err("post_processor: its template for one text has two texts".into());
                }
                Piece::SpecialToken { id } => {
                    let special = self.special_tokens.get(id);
                    let special = special
                        .ok_or_else(|| format!("post_processor: {id:?} is not among its special_tokens"))?;
                    ids.extend(special.ids.iter().take(MOST_BEFORE + 1));
                    if ids.len() > MOST_BEFORE {
                        break;
                    }
                }
            }
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template(single: &Value) -> Value {
        json!({
            "type": "TemplateProcessing", "single": single, "pair": [],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [7], "tokens": ["<s>"] } },
        })
    }

    fn special(name: &str) -> Value {
        json!({ "SpecialToken": { "id": name, "type_id": 0 } })
    }

    #[test]
    fn bos_comes_from_the_template() {
        let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
        let bos = template(&json!([special("<s>"), text]));
        assert_eq!(prefix(&bos).expect("BOS"), [7]);
        assert_eq!(prefix(&Value::Null).expect("none"), [0; 0]);
        let steps = json!({ "type": "Sequence", "processors": [{ "type": "ByteLevel" }, bos] });
        assert_eq!(prefix(&steps).expect("LLaMA 3's"), [7]);
    }

    #[test]
    fn what_is_no_bos_is_refused() {
        let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
        let refused = |value: &Value| prefix(value).expect_err("refused").reason;
        assert!(refused(&template(&json!([text, special("<s>")]))).contains("after every text"));
        assert!(refused(&template(&json!([special("</s>"), text]))).contains("\"</s>\" is not among"));
        assert!(refused(&template(&json!([text, text]))).contains("two texts"));
        assert!(refused(&template(&json!([special("<s>")]))).contains("leaves the text"));
        assert!(refused(&json!({ "type": "RobertaProcessing" })).contains("RobertaProcessing"));
        assert!(refused(&json!("ByteLevel")).contains("without a type"));
        assert!(refused(&json!({ "type": "TemplateProcessing" })).contains("missing field"));
    }
}
