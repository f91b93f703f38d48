//! A normalizer in a probe's file: an entry of the header, and tensors.
//!
//! `plus.mean`, `plus.std`, `minus.mean`, `minus.std` \[D\] are always there: φ± = (x± − mean)/std is the
//! normalization of rows without a template. `templates.plus.mean` … \[K, D\] are those of the templates that the
//! header names; with `erasure.left` \[D, M\] and `erasure.right` \[M, D\], left·right·φ is then taken away.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Moments, Normalization, Normalizer, Templates};
use crate::Result;

/// What the header says; files of schema 1 say nothing and are element-wise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    kind: Normalization,
    /// With rows in `templates.plus.mean` and so on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    templates: Vec<String>,
    /// All that were among the training rows, where others than those were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    seen: Vec<String>,
    /// Those with too few rows for statistics of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    few_rows: Vec<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    reestimated: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Normalizer {
    /// The header's entry.
    pub(crate) fn header(&self) -> Header {
        let templates = self.templates.as_ref().map_or(Vec::new(), |templates| templates.names.clone());
        let seen = if self.seen == templates { Vec::new() } else { self.seen.clone() };
        Header { kind: self.kind, templates, seen, few_rows: self.few.clone(), reestimated: self.reestimated }
    }

    /// The tensors by name.
    pub(crate) fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        let mut all = vec![
            ("minus.mean", &self.minus.mean),
            ("minus.std", &self.minus.std),
            ("plus.mean", &self.plus.mean),
            ("plus.std", &self.plus.std),
        ];
        if let Some(templates) = &self.templates {
            all.extend([
                ("templates.minus.mean", &templates.minus.mean),
                ("templates.minus.std", &templates.minus.std),
                ("templates.plus.mean", &templates.plus.mean),
                ("templates.plus.std", &templates.plus.std),
            ]);
        }
        if let Some((left, right)) = &self.erasure {
            all.extend([("erasure.left", left), ("erasure.right", right)]);
        }
        all
    }

    /// Puts a normalizer of D dimensions together again. `get` gives the tensor of a name, whose shape must be the one
    /// given; `None` stands for any length.
    pub(crate) fn from_file(
        header: Header,
        dim: usize,
        get: impl Fn(&str, &[Option<usize>]) -> Result<Tensor, String>,
    ) -> Result<Self, String> {
        let moments = |side: &str, shape: &[Option<usize>]| -> Result<Moments, String> {
            let std = get(&format!("{side}.std"), shape)?;
            let positive = std.f_gt(0.0).and_then(|t| t.f_all()).and_then(|t| t.f_int64_value(&[]));
            if positive.map_err(|e| e.to_string())? != 1 {
                return Err(format!("`{side}.std` holds a value that is not positive"));
            }
            Ok(Moments { mean: get(&format!("{side}.mean"), shape)?, std })
        };
        let seen = if header.seen.is_empty() { header.templates.clone() } else { header.seen };
        let (one, table) = ([Some(dim)], [Some(header.templates.len()), Some(dim)]);
        let templates = if header.templates.is_empty() {
            None
        } else {
            Some(Templates {
                plus: moments("templates.plus", &table)?,
                minus: moments("templates.minus", &table)?,
                names: header.templates,
            })
        };
        let erasure = match header.kind {
            Normalization::Leace => {
                let left = get("erasure.left", &[Some(dim), None])?;
                let rank = left.size().get(1).map(|&m| m as usize);
                Some((left, get("erasure.right", &[rank, Some(dim)])?))
            }
            _ => None,
        };
        Ok(Self {
            plus: moments("plus", &one)?,
            minus: moments("minus", &one)?,
            kind: header.kind,
            templates,
            seen,
            few: header.few_rows,
            erasure,
            reestimated: header.reestimated,
        })
    }
}
