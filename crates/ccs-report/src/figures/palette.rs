//! The one palette: every color by its name in the page's style sheet. The methods' hues are Okabe and Ito's, which
//! color-blind readers can tell apart.

use crate::method::Method;

/// A named color.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ink {
    pub(super) name: &'static str,
    light: &'static str,
    dark: &'static str,
}

const fn ink(name: &'static str, light: &'static str, dark: &'static str) -> Ink {
    Ink { name, light, dark }
}

pub(crate) const PAPER: Ink = ink("paper", "#ffffff", "#17191b");
pub(crate) const TEXT: Ink = ink("text", "#1d1f21", "#e4e6e8");
pub(crate) const QUIET: Ink = ink("quiet", "#5b6166", "#a0a6ab");
pub(crate) const LINE: Ink = ink("line", "#dcdfe2", "#34383c");
pub(crate) const CCS: Ink = ink("ccs", "#0072b2", "#56b4e9");
pub(crate) const LR: Ink = ink("lr", "#d55e00", "#f2913d");
pub(crate) const ZERO_SHOT: Ink = ink("zero-shot", "#009e73", "#2fc796");
pub(crate) const RANDOM: Ink = ink("random", "#8a8a8a", "#9a9fa4");
/// True statements.
pub(crate) const TRUE: Ink = ink("good", "#00795a", "#3cc79b");
/// False statements.
pub(crate) const FALSE: Ink = ink("caution", "#b4530a", "#f0a35e");
const OTHER: Ink = ink("other", "#4b5563", "#c3c9cf");

/// Colors that only the style sheet uses, after those of the figures.
const PALETTE: [Ink; 14] = [
    PAPER,
    TEXT,
    QUIET,
    LINE,
    ink("soft", "#f4f5f6", "#1f2225"),
    CCS,
    LR,
    ZERO_SHOT,
    RANDOM,
    OTHER,
    TRUE,
    FALSE,
    ink("above", "#4a9fd4", "#10609a"),
    ink("below", "#f0a04b", "#93500c"),
];

/// What the colors are shown on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    Light,
    Dark,
}

impl Ink {
    /// The color on white.
    pub(super) fn on_white(self) -> &'static str {
        self.light
    }
}

/// The palette as declarations of CSS variables.
pub(crate) fn declarations(theme: Theme) -> String {
    let declare = |ink: &Ink| {
        let color = if theme == Theme::Light { ink.light } else { ink.dark };
        format!("--{}: {color};", ink.name)
    };
    PALETTE.iter().map(declare).collect::<Vec<_>>().join(" ")
}

/// The CSS class of a method. The methods of every run have one each, all others share one.
pub(crate) fn class(method: Method) -> &'static str {
    match method {
        Method::MAJORITY => "majority",
        method => method_ink(method).name,
    }
}

/// The color of a method.
pub(crate) fn method_ink(method: Method) -> Ink {
    match method {
        // No run has two of these.
        Method::CCS | Method::MASS_MEAN | Method::ATTENTION => CCS,
        Method::LR | Method::MEAN => LR,
        Method::RANDOM => RANDOM,
        Method::ZERO_SHOT | Method::TTPD => ZERO_SHOT,
        Method::MAJORITY => TEXT,
        _ => OTHER,
    }
}
