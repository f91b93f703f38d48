//! The rotary embedding's wavelengths, and how they are stretched for long texts.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::Config;

/// How the wavelengths of the rotary embedding are stretched for long texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RopeScaling {
    /// Not at all.
    #[default]
    None,
    /// All by the same factor: positions are interpolated (Chen et al. 2023).
    Linear {
        /// The factor.
        factor: f64,
    },
    /// As LLaMA 3.1 does it: wavelengths shorter than `original_context / high_freq_factor` stay, those longer than
    /// `original_context / low_freq_factor` are stretched by `factor`, and those between are interpolated.
    Llama3 {
        /// Stretch of the longest wavelengths.
        factor: f64,
        /// Where full stretching begins.
        low_freq_factor: f64,
        /// Where stretching begins.
        high_freq_factor: f64,
        /// Context length of the original training, in tokens.
        original_context: f64,
    },
    /// Each wavelength by its own factor, as GGUF files keep them. \[K/2\]
    Factors(Vec<f32>),
    /// As `YaRN` does it (Peng et al. 2023): dimensions that turn more often than `beta_fast` times in the original context
    /// stay, those that turn less often than `beta_slow` times are stretched by `factor`, and those between are
    /// interpolated. Queries and keys are multiplied by `magnitude` as well.
    Yarn {
        /// Stretch of the longest wavelengths.
        factor: f64,
        /// Context length of the original training, in tokens.
        original_context: f64,
        /// Turns in the original context from which on a dimension stays.
        beta_fast: f64,
        /// Turns below which it is stretched in full.
        beta_slow: f64,
        /// What rotated queries and keys are multiplied by; `0.1 ln(factor) + 1` in the paper.
        magnitude: f64,
        /// Whether the two dimensions between which is interpolated are rounded to whole ones.
        truncate: bool,
    },
    /// Not at all up to a number of tokens (`dynamic`); longer prompts would stretch by their own length, and are refused:
    /// tokens that prompts of different lengths share would turn differently for each.
    Dynamic {
        /// The most tokens.
        most: usize,
    },
    /// Each wavelength by its own factor up to a number of tokens (`longrope`: Phi-3, Ding et al. 2024); longer prompts would
    /// have other factors, and are refused as those of [`RopeScaling::Dynamic`] are.
    Long {
        /// The factors of prompts that are not longer. \[K/2\]
        short: Vec<f32>,
        /// What rotated queries and keys are multiplied by.
        magnitude: f64,
        /// The most tokens.
        most: usize,
    },
}

impl Config {
    /// How many of a head's dimensions are rotated.
    pub(crate) fn rotated(&self) -> i64 {
        self.rotary_dim.unwrap_or(self.head_dim)
    }

    /// Angles by which one position turns each pair of a head's rotated dimensions: θ^(−2i/K) over the stretch of its
    /// wavelength. \[K/2\]
    ///
    /// LLaMA 3's stretches are rounded to f32 first, which is how GGUF files keep them. (llama.cpp's converter computes
    /// them from frequencies in f32, so a file it made may differ in the last bit of a stretch or two.)
    pub fn rope_frequencies(&self) -> Vec<f64> {
        let width = self.rotated();
        let frequency = |i: i64| self.rope_theta.powf(-2.0 * i as f64 / width as f64);
        let stretch = |i: i64| match &self.rope_scaling {
            RopeScaling::None | RopeScaling::Dynamic { .. } => 1.0,
            RopeScaling::Linear { factor } => *factor,
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                // How many waves the original context held; 1 at high_freq_factor, 0 at low_freq_factor.
                let waves = original_context * frequency(i) / TAU;
                let kept = ((waves - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                f64::from((1.0 / ((1.0 - kept) / factor + kept)) as f32)
            }
            RopeScaling::Factors(factors) | RopeScaling::Long { short: factors, .. } => {
                f64::from(factors.get(i as usize).copied().unwrap_or(1.0))
            }
            RopeScaling::Yarn { factor, original_context, beta_fast, beta_slow, truncate, .. } => {
                // The dimension that turns `turns` times in the original context.
                let turning = |turns: f64| {
                    width as f64 * (original_context / (turns * TAU)).ln() / (2.0 * self.rope_theta.ln())
                };
                let (mut low, mut high) = (turning(*beta_fast), turning(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, high) = (low.max(0.0), high.min(width as f64 - 1.0));
                // Where both are one dimension, everything behind it is stretched.
                let between = if high > low { high - low } else { 0.001 };
                let stretched = ((i as f64 - low) / between).clamp(0.0, 1.0);
                1.0 / (stretched / factor + (1.0 - stretched))
            }
        };
        (0..width / 2).map(|i| frequency(i) / stretch(i)).collect()
    }

    /// The same in layers with a base of their own. \[K/2\]
    pub(crate) fn local_rope_frequencies(&self) -> Option<Vec<f64>> {
        let local = Self {
            rope_theta: self.local_rope_theta?,
            rope_scaling: RopeScaling::None,
            local_rope_theta: None,
            ..self.clone()
        };
        Some(local.rope_frequencies())
    }

    /// What rotated queries and keys are multiplied by.
    pub(crate) fn rope_magnitude(&self) -> f64 {
        match self.rope_scaling {
            RopeScaling::Yarn { magnitude, .. } | RopeScaling::Long { magnitude, .. } => magnitude,
            _ => 1.0,
        }
    }

    /// The most tokens of a prompt, where its rotary embedding is computed for some number of them.
    pub(crate) fn longest_prompt(&self) -> Option<usize> {
        match self.rope_scaling {
            RopeScaling::Dynamic { most } | RopeScaling::Long { most, .. } => Some(most),
            _ => None,
        }
    }

    /// The first rule that the rotary embedding's numbers break, in words.
    pub(super) fn rope_problem(&self) -> Option<String> {
        let positive = |v: f64| v.is_finite() && v > 0.0;
        let width = self.rotated();
        if width % 2 != 0 || !(2..=self.head_dim).contains(&width) {
            return Some(match self.rotary_dim {
                None => format!("`head_dim` {} is odd, and rotary embedding turns pairs", self.head_dim),
                Some(_) => {
                    format!("{width} of `head_dim` {} are rotated, and it turns pairs", self.head_dim)
                }
            });
        }
        if let Some(theta) = self.local_rope_theta.filter(|&theta| !positive(theta)) {
            return Some(format!("`local_rope_theta` is {theta}"));
        }
        let of_each = |factors: &[f32]| {
            factors.len() as i64 == width / 2 && factors.iter().all(|&f| positive(f64::from(f)))
        };
        let sound = match &self.rope_scaling {
            RopeScaling::None => true,
            RopeScaling::Dynamic { most } => *most > 0,
            RopeScaling::Linear { factor } => positive(*factor),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                [factor, low_freq_factor, original_context].into_iter().all(|&v| positive(v))
                    && high_freq_factor.is_finite()
                    && high_freq_factor > low_freq_factor
            }
            RopeScaling::Factors(factors) => of_each(factors),
            RopeScaling::Long { short, magnitude, most } => {
                of_each(short) && positive(*magnitude) && *most > 0
            }
            RopeScaling::Yarn { factor, original_context, beta_fast, beta_slow, magnitude, .. } => {
                [factor, original_context, beta_fast, beta_slow, magnitude].into_iter().all(|&v| positive(v))
                    && beta_fast >= beta_slow
                    && self.rope_theta > 1.0
            }
        };
        (!sound).then(|| format!("the rotary embedding's scaling is {:?}", self.rope_scaling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama_3_stretches_long_wavelengths_only() {
        let plain = Config { rope_theta: 500_000.0, ..Config::default() };
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8192.0,
        };
        let scaled = Config { rope_scaling: scaling, ..plain.clone() };
        for (before, after) in plain.rope_frequencies().into_iter().zip(scaled.rope_frequencies()) {
            let wavelength = std::f64::consts::TAU / before;
            let stretch = before / after;
            if wavelength < 2048.0 {
                assert!((stretch - 1.0).abs() < 1e-12);
            } else if wavelength > 8192.0 {
                assert!((stretch - 8.0).abs() < 1e-12);
            } else {
                assert!(stretch > 1.0 && stretch < 8.0);
            }
        }
        let factors: Vec<f32> = (0..64).map(|i| 1.0 + i as f32).collect();
        let table = Config { rope_scaling: RopeScaling::Factors(factors), ..plain.clone() };
        assert_eq!(table.problem(), None);
        assert!((table.rope_frequencies()[3] - plain.rope_frequencies()[3] / 4.0).abs() < 1e-18);
        let short = Config { rope_scaling: RopeScaling::Factors(vec![1.0]), ..plain };
        assert!(short.problem().is_some());
    }
}
