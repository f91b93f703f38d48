//! All methods that fit probes.

use super::bss::Bss;
use super::ccs::Ccs;
use super::fit::Fit;
use super::inlp::Inlp;
use super::kmeans::KMeans;
use super::logistic_regression::LogisticRegression;
use super::mass_mean::MassMean;
use super::means::{Lda, MeanDifference};
use super::quadratic::{Objective, Quadratic};
use super::tokens::TokenOptions;
use super::tokens::attention::Attention;
use super::tokens::multi_max::MultiMax;
use super::tokens::pooled::{Pool, Pooled};
use super::ttpd::Ttpd;
use crate::normalize::Normalization;

/// What is known of a method without fitting it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Entry {
    /// The name on command lines and in reports.
    pub name: &'static str,
    /// The name in sentences.
    pub title: &'static str,
    /// Whether a fit sees labels for more than the probe's sign.
    pub uses_labels: bool,
    default: MakeDefault,
}

impl Entry {
    /// The method with its default hyper-parameters, on states normalized in this way.
    pub fn method(&self, normalization: Normalization) -> Box<dyn Fit> {
        (self.default)(normalization)
    }

    /// Whether the method with its default hyper-parameters gives the same probe under every seed.
    pub fn is_deterministic(&self) -> bool {
        !self.method(Normalization::default()).draws_from_seeds()
    }
}

/// Makes a method with its default hyper-parameters.
type MakeDefault = fn(Normalization) -> Box<dyn Fit>;

/// Labels are used for the probe's sign alone.
const fn unsupervised(name: &'static str, title: &'static str, default: MakeDefault) -> Entry {
    Entry { name, title, uses_labels: false, default }
}

/// Labels are used for the direction too.
const fn supervised(name: &'static str, title: &'static str, default: MakeDefault) -> Entry {
    Entry { name, title, uses_labels: true, default }
}

/// All methods, in the order of reports.
#[rustfmt::skip]
pub static REGISTRY: [Entry; 14] = [
    unsupervised("ccs", "CCS", |n| Box::new(Ccs { normalization: n, ..Ccs::default() })),
    unsupervised("tpc", "TPC", |n| Box::new(Quadratic { objective: Objective::TPC, normalization: n })),
    unsupervised("bss", "BSS", |n| Box::new(Bss { normalization: n, ..Bss::default() })),
    unsupervised("kmeans", "K-means", |n| Box::new(KMeans { normalization: n, ..KMeans::default() })),
    unsupervised("drc", "DRC", |n| Box::new(Quadratic { objective: Objective::DRC, normalization: n })),
    unsupervised("rrc", "RRC", |n| Box::new(Quadratic { objective: Objective::RRC, normalization: n })),
    unsupervised("vinc", "VINC", |n| Box::new(Quadratic { objective: Objective::VINC, normalization: n })),
    supervised("vinc_s", "VINC-S", |n| Box::new(Quadratic { objective: Objective::VINC_S, normalization: n })),
    supervised("lr", "Logistic regression", |n| Box::new(LogisticRegression::differences(n))),
    supervised("lr_statements", "Logistic regression on statements", |n| Box::new(LogisticRegression::statements(n))),
    supervised("lr_pairs", "Logistic regression on concatenated pairs", |n| Box::new(LogisticRegression::concatenated(n))),
    supervised("mean_difference", "Mean difference", |n| Box::new(MeanDifference { normalization: n })),
    supervised("lda", "LDA", |n| Box::new(Lda { normalization: n, ..Lda::default() })),
    supervised("inlp", "INLP", |n| Box::new(Inlp::default().normalized(n))),
];

/// The methods for single statements ([`crate::Statements`]), in the order of reports; all see labels. Random directions
/// are [`crate::baselines::random_directions_as`].
#[rustfmt::skip]
pub static STATEMENT_METHODS: [Entry; 6] = [
    supervised("mass_mean", "Mass mean", |n| Box::new(MeanDifference { normalization: n })),
    supervised("mass_mean_covariance", "Mass mean with covariance", |n| Box::new(MassMean { normalization: n, ..MassMean::default() })),
    supervised("lr", "Logistic regression", |n| Box::new(LogisticRegression::statements(n))),
    supervised("lda", "LDA", |n| Box::new(Lda { normalization: n, ..Lda::default() })),
    supervised("ttpd", "TTPD", |n| Box::new(Ttpd { normalization: n, ..Ttpd::default() })),
    supervised("inlp", "INLP", |n| Box::new(Inlp::default().normalized(n))),
];

/// The methods for rows with the states of all tokens ([`crate::TokenStates`]), pairs or single statements, in the order of
/// reports: the baselines, and those that learn where to look. All see labels.
#[rustfmt::skip]
pub static TOKEN_METHODS: [Entry; 4] = [
    supervised("last", "Logistic regression on the last token", |n| Box::new(Pooled::new(Pool::Last, n))),
    supervised("mean", "Logistic regression on the mean token", |n| Box::new(Pooled::new(Pool::Mean, n))),
    supervised("attention", "Attention probe", |n| Box::new(Attention { options: TokenOptions { normalization: n, ..TokenOptions::default() } })),
    supervised("multi_max", "Multi-max probe", |n| Box::new(MultiMax { options: TokenOptions { normalization: n, ..TokenOptions::default() } })),
];

/// The method of this name, for one state a prompt or for all tokens.
pub fn find(name: &str) -> Option<&'static Entry> {
    REGISTRY.iter().chain(&TOKEN_METHODS).find(|entry| entry.name == name)
}
