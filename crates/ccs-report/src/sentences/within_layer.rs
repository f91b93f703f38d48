//! The choices within CCS's layer, in sentences.

use crate::report::WithinLayer;

impl WithinLayer {
    /// The selected sign and start, then those that the test rows would have selected. Starts are counted from 1.
    pub fn sentence(&self) -> String {
        let Self { layer, accuracy, sign_rule, restart_rule, oracle_sign, oracle_restart, .. } = self;
        let mut same = Vec::new();
        let mut other = Vec::new();
        if oracle_sign.sign == self.sign {
            same.push("sign");
        } else {
            other.push(("the opposite sign".to_owned(), oracle_sign.accuracy, oracle_sign.gap));
        }
        match oracle_restart {
            Some(best) if best.restart == best.kept => same.push("start"),
            Some(best) => {
                let start = format!("start {} instead of {}", best.restart + 1, best.kept + 1);
                other.push((start, best.accuracy, best.gap));
            }
            None => {}
        }
        let same = (!same.is_empty()).then(|| format!("the same {}", same.join(" and ")));
        let other = other
            .into_iter()
            .map(|(what, accuracy, gap)| format!("{what} (accuracy {accuracy:.3}, {gap:.3} higher)"));
        let oracle: Vec<String> = same.into_iter().chain(other).collect();
        format!(
            "CCS at layer {layer} has accuracy {accuracy:.3}. Sign: {sign_rule}. Start: {restart_rule}. The test rows \
             would have selected {}.",
            oracle.join(" and ")
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::report::{OracleRestart, OracleSign, Sign, WithinLayer};

    #[test]
    fn a_sentence_says_what_the_oracle_would_have_selected() {
        let mut within = WithinLayer {
            layer: 7,
            accuracy: 0.4,
            sign_rule: "sign rule".to_owned(),
            sign: Sign::Plus,
            oracle_sign: OracleSign { sign: Sign::Minus, accuracy: 0.6, gap: 0.2 },
            restart_rule: "start rule".to_owned(),
            oracle_restart: Some(OracleRestart { kept: 1, restart: 1, accuracy: 0.4, gap: 0.0 }),
        };
        assert_eq!(
            within.sentence(),
            "CCS at layer 7 has accuracy 0.400. Sign: sign rule. Start: start rule. The test rows would have selected \
             the same start and the opposite sign (accuracy 0.600, 0.200 higher)."
        );
        within.oracle_sign.sign = Sign::Plus;
        assert!(within.sentence().ends_with("would have selected the same sign and start."));
        within.oracle_restart = Some(OracleRestart { kept: 1, restart: 4, accuracy: 0.5, gap: 0.1 });
        assert!(
            within
                .sentence()
                .ends_with("selected the same sign and start 5 instead of 2 (accuracy 0.500, 0.100 higher).")
        );
        within.oracle_restart = None;
        assert!(within.sentence().ends_with("would have selected the same sign."));
    }
}
