//! What finding a direction says, in a sentence: how many random directions do as much, and how many stand out.

use crate::method::Method;
use crate::numbers::percent;
use crate::report::{DirectionsReport, Finding, SpectrumReport, Verdict};

/// The method whose spectrum counts: variance that both sides share hides no directions from it.
const COUNTING: &str = "rrc";

/// The sentence about a run's layer.
pub(super) fn about_directions(found: &DirectionsReport) -> Verdict {
    let DirectionsReport { layer, directions, more_than_chance, spectra, .. } = found;
    let spectrum = spectra.iter().find(|spectrum| spectrum.method.name() == COUNTING);
    let standing_out = spectrum.map_or(0, |spectrum| spectrum.standing_out);
    let (finding, relation) = if *more_than_chance && found.share > 0.5 {
        let most = ": the labels can be read along most of them, and finding one says little";
        (Finding::ManyDirections, most)
    } else if *more_than_chance {
        (Finding::FewDirections, ": more than by chance, but not most")
    } else if standing_out > 0 {
        (Finding::FewDirections, ", which is not shown to be more than chance")
    } else {
        (Finding::NoDirectionsShown, ", which is not shown to be more than chance")
    };
    let spectrum = spectrum.map(|of| format!("; in the spectrum of {} {}", of.title, standing(of)));
    let text = format!(
        "At layer {layer}, {} of {directions} random directions rank true above false better than chance allows ({} \
         expected){relation}{}.",
        percent(found.share),
        percent(found.expected),
        spectrum.unwrap_or_default()
    );
    Verdict { method: Method::RANDOM, layer: Some(*layer), finding, text }
}

/// `3 directions stand out`.
pub(crate) fn standing(spectrum: &SpectrumReport) -> String {
    match spectrum.standing_out {
        0 => "none is shown to stand out".to_owned(),
        1 => "1 direction stands out".to_owned(),
        more => format!("{more} directions stand out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(share: f64, more_than_chance: bool, standing_out: usize) -> DirectionsReport {
        let spectrum = |name: &str, standing_out| SpectrumReport {
            method: name.parse().unwrap(),
            title: name.to_uppercase(),
            dimensions: 64,
            eigenvalues: vec![0.9, 0.2],
            null_median: 0.2,
            null_high: 0.3,
            standing_out,
        };
        DirectionsReport {
            layer: 4,
            directions: 1000,
            above: (1000.0 * share) as usize,
            share,
            threshold: 0.56,
            expected: 0.025,
            chance_high: 0.1,
            more_than_chance,
            // Another method's count is not the sentence's.
            spectra: vec![spectrum("drc", 7), spectrum("rrc", standing_out)],
        }
    }

    #[test]
    fn the_share_and_the_spectrum_are_said_and_no_more() {
        let said = |share, more, standing_out| {
            let verdict = about_directions(&found(share, more, standing_out));
            assert_eq!((verdict.method, verdict.layer), (Method::RANDOM, Some(4)));
            (verdict.finding, verdict.text)
        };
        let (finding, text) = said(0.83, true, 1);
        assert_eq!(finding, Finding::ManyDirections);
        assert_eq!(
            text,
            "At layer 4, 83.0% of 1000 random directions rank true above false better than chance allows (2.5% \
             expected): the labels can be read along most of them, and finding one says little; in the spectrum of RRC \
             1 direction stands out."
        );
        let (finding, text) = said(0.04, false, 2);
        assert_eq!(finding, Finding::FewDirections);
        assert!(
            text.ends_with(
                "expected), which is not shown to be more than chance; in the spectrum of RRC 2 directions stand out."
            ),
            "{text}"
        );
        assert_eq!(said(0.3, true, 0).0, Finding::FewDirections);
        let (finding, text) = said(0.04, false, 0);
        assert_eq!(finding, Finding::NoDirectionsShown);
        assert!(text.ends_with("in the spectrum of RRC none is shown to stand out."), "{text}");
        // Shuffled labels can reach any share: most of the directions alone is no claim.
        assert_eq!(said(0.6, false, 0).0, Finding::NoDirectionsShown);
    }
}
