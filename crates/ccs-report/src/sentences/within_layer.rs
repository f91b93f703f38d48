//! The choices within CCS's layer, in sentences.

use crate::report::WithinLayer;

impl WithinLayer {
    /// The selected sign and start, then those that the test rows would have selected. Starts are counted from 1.
    pub fn sentence(&self) -> String {
        let Self { layer, accuracy, sign_rule, restart_rule, .. } = self;
        format!(
            "CCS at layer {layer} has accuracy {accuracy:.3}. Sign: {sign_rule}. Start: {restart_rule}. {} {}",
            self.sign(),
            self.start()
        )
        .trim_end()
        .to_owned()
    }

    fn sign(&self) -> String {
        let oracle = &self.oracle_sign;
        if oracle.sign == self.sign {
            return "The test rows would have selected the same sign.".to_owned();
        }
        format!(
            "The test rows would have selected the opposite sign (accuracy {:.3}, {:.3} higher).",
            oracle.accuracy, oracle.gap
        )
    }

    fn start(&self) -> String {
        match &self.oracle_restart {
            Some(best) if best.restart == best.kept => {
                "They would have selected the same start.".to_owned()
            }
            Some(best) => format!(
                "They would have selected start {} instead of {} (accuracy {:.3}, {:.3} higher).",
                best.restart + 1,
                best.kept + 1,
                best.accuracy,
                best.gap
            ),
            None => String::new(),
        }
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
             the opposite sign (accuracy 0.600, 0.200 higher). They would have selected the same start."
        );
        within.oracle_sign.sign = Sign::Plus;
        within.oracle_restart = Some(OracleRestart { kept: 1, restart: 4, accuracy: 0.5, gap: 0.1 });
        assert!(within.sentence().ends_with(
            "selected the same sign. They would have selected start 5 instead of 2 (accuracy 0.500, 0.100 higher)."
        ));
        within.oracle_restart = None;
        assert!(within.sentence().ends_with("The test rows would have selected the same sign."));
    }
}
