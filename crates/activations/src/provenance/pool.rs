//! What made several data sets that are put together.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Map;

use super::{Provenance, Template};

impl Provenance {
    /// What made data sets that are pooled, each with its name: the first one's record, with the names of the data sets and
    /// templates of all, and what others record where the first is silent. None if the first has no record.
    ///
    /// Where one template's name stands for several texts, each is called `NAME/TEMPLATE`.
    pub fn pooled(parts: &[(&str, Option<&Self>)]) -> Option<Self> {
        let (_, first) = parts.first()?;
        // Notes are about the rows of one data set: each keeps its own.
        let mut pooled = Self { notes: None, ..(*first)?.clone() };
        let recorded: Vec<(&str, &Self)> =
            parts.iter().filter_map(|(name, made_by)| Some((*name, (*made_by)?))).collect();
        let all = || recorded.iter().map(|(_, made_by)| *made_by);
        if pooled.is_silent_on("model") {
            pooled.model = all().find_map(|made_by| made_by.model.clone());
        }
        if pooled.is_silent_on("tokenizer") {
            pooled.tokenizer = all().find_map(|made_by| made_by.tokenizer.clone());
        }
        if pooled.is_silent_on("extraction") {
            pooled.extraction = all().find_map(|made_by| made_by.extraction.clone());
        }

        let templates = templates(&recorded);
        let without_text = all().filter(|made_by| made_by.templates.is_none());
        let named: BTreeSet<&str> = without_text.flat_map(Self::template_names).collect();
        let template_names = templates.keys().map(String::as_str).chain(named).collect();
        pooled.template = joined(template_names).or(pooled.template);
        pooled.dataset = joined(all().flat_map(Self::dataset_names).collect()).or(pooled.dataset);
        if !templates.is_empty() {
            pooled.templates = Some(templates);
        }
        Some(pooled)
    }

    /// Whether a key has no value, typed or not.
    fn is_silent_on(&self, key: &str) -> bool {
        !Map::from(self.clone()).contains_key(key)
    }
}

fn joined(names: BTreeSet<&str>) -> Option<String> {
    let joined = names.into_iter().collect::<Vec<_>>().join(", ");
    Some(joined).filter(|joined| !joined.is_empty())
}

/// The templates that data sets record, by name.
fn templates(parts: &[(&str, &Provenance)]) -> BTreeMap<String, Template> {
    let mut texts: BTreeMap<&str, Vec<(&str, &Template)>> = BTreeMap::new();
    for (part, made_by) in parts {
        for (name, template) in made_by.templates.iter().flatten() {
            texts.entry(name).or_default().push((part, template));
        }
    }
    let mut pooled = BTreeMap::new();
    for (name, texts) in texts {
        let one = texts.windows(2).all(|pair| same_text(pair[0].1, pair[1].1));
        for (part, template) in texts {
            let name = if one { name.to_owned() } else { format!("{part}/{name}") };
            pooled.insert(name, template.clone());
        }
    }
    pooled
}

fn same_text(a: &Template, b: &Template) -> bool {
    match (&a.identity, &b.identity) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pooled(parts: &[(&str, Value)]) -> Option<Value> {
        let read: Vec<(&str, Option<Provenance>)> = parts
            .iter()
            .map(|(name, value)| (*name, value.is_object().then(|| Provenance::from_json(value))))
            .collect();
        let parts: Vec<(&str, Option<&Provenance>)> =
            read.iter().map(|(name, made_by)| (*name, made_by.as_ref())).collect();
        Provenance::pooled(&parts).map(Value::from)
    }

    #[test]
    fn names_and_templates_are_of_all_and_the_rest_of_the_first() {
        let template = |identity: &str| json!({ "identity": identity, "text": { "source": identity } });
        let a = json!({
            "dataset": "boolq", "template": "own, shared", "seed": 1,
            "templates": { "own": template("1"), "shared": template("2") },
        });
        let b = json!({
            "dataset": "imdb", "template": "own, shared", "model": { "name": "m" },
            "templates": { "own": template("3"), "shared": template("2") },
        });
        let c = json!({ "dataset": "boolq", "template": "plain", "seed": 2 });
        let expected = json!({
            "dataset": "boolq, imdb", "template": "a/own, b/own, plain, shared", "seed": 1, "model": { "name": "m" },
            "templates": { "a/own": template("1"), "b/own": template("3"), "shared": template("2") },
        });
        assert_eq!(pooled(&[("a", a), ("b", b), ("c", c.clone())]), Some(expected));
        assert_eq!(pooled(&[("c", c.clone())]), Some(c.clone()));
        assert_eq!(pooled(&[("memory", Value::Null), ("c", c)]), None);
        assert_eq!(pooled(&[]), None);
    }
}
