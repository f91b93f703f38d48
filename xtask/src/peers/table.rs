//! How fast the contenders were, and what each makes of the machine.

/// What the machine does, and what a pair asks of it.
pub struct Machine {
    /// Rates of matrix products of the model's shapes, in GFLOP/s.
    pub f32: f64,
    pub bf16: f64,
    /// Operations of a pair's two prompts, each by itself and with their common beginning once, in GFLOP.
    pub alone: f64,
    pub shared: f64,
}

/// A program with its settings, and how fast it was.
pub struct Contender {
    pub name: String,
    /// What it multiplies in, where that is known.
    pub dtype: Option<Dtype>,
    /// Whether a pair's common beginning is computed once; `None` for those whose operations are not a pair's at all.
    pub shares: Option<bool>,
    /// Pairs a second, round by round.
    pub speeds: Vec<Option<f64>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dtype {
    F32,
    Bf16,
}

impl Contender {
    fn best(&self) -> f64 {
        self.speeds.iter().flatten().copied().fold(0.0, f64::max)
    }

    /// Operations a second that its pairs need at its best, in GFLOP/s, and their share of the machine's rate in that type.
    fn share(&self, machine: &Machine) -> Option<(f64, f64)> {
        let pair = if self.shares? { machine.shared } else { machine.alone };
        let rate = match self.dtype? {
            Dtype::F32 => machine.f32,
            Dtype::Bf16 => machine.bf16,
        };
        let reached = self.best() * pair;
        (reached > 0.0).then_some((reached, reached / rate))
    }
}

impl Dtype {
    pub fn of_flags(flags: &[&str]) -> Option<Self> {
        let place = flags.iter().position(|flag| *flag == "--dtype")?;
        match *flags.get(place + 1)? {
            "float32" | "f32" => Some(Self::F32),
            "bfloat16" | "bf16" => Some(Self::Bf16),
            _ => None,
        }
    }

    /// What a store says that its model multiplied in; `mixed` is bf16 there.
    pub fn of_manifest(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("\"precision\"")?;
        match rest.split('"').nth(1)? {
            "f32" => Some(Self::F32),
            "bf16" | "mixed" => Some(Self::Bf16),
            _ => None,
        }
    }
}

/// Markdown: each contender's pairs a second, how many times the first one's speed that is less, and what share of the
/// machine's rate it makes use of.
pub fn table(contenders: &[Contender], machine: &Machine) -> String {
    let first = contenders.first().map_or(0.0, Contender::best);
    let mut text = format!(
        "matrix products of this model's shapes here: {:.0} GFLOP/s in f32, {:.0} in bf16\n\n\
         | | pairs/s, round by round | ours at its best is faster by | GFLOP/s | share of the rate in its type |\n\
         |---|---|---|---|---|\n",
        machine.f32, machine.bf16
    );
    for contender in contenders {
        let shown = |speed: &Option<f64>| speed.map_or("failed".to_owned(), |s| format!("{s:.2}"));
        let shown: Vec<String> = contender.speeds.iter().map(shown).collect();
        let best = contender.best();
        let ratio = if best > 0.0 { format!("{:.2}", first / best) } else { "–".to_owned() };
        let (reached, share) = match contender.share(machine) {
            Some((reached, share)) => (format!("{reached:.0}"), format!("{:.0} %", 100.0 * share)),
            None => ("–".to_owned(), "–".to_owned()),
        };
        let cells = [format!("`{}`", contender.name), shown.join(", "), ratio, reached, share];
        text.extend(["| ", &cells.join(" | "), " |\n"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_and_shares_are_of_the_best_rounds() {
        let contender = |name: &str, dtype, shares, speeds: &[Option<f64>]| Contender {
            name: name.to_owned(),
            dtype,
            shares,
            speeds: speeds.to_vec(),
        };
        let machine = Machine { f32: 400.0, bf16: 800.0, alone: 80.0, shared: 40.0 };
        let contenders = [
            contender("ours", Some(Dtype::F32), Some(true), &[Some(4.0), Some(5.0)]),
            contender("peer", Some(Dtype::Bf16), Some(false), &[Some(2.0), None]),
            contender("steps", Some(Dtype::F32), None, &[Some(1.0), Some(1.0)]),
            contender("other", None, Some(false), &[None, None]),
        ];
        let text = table(&contenders, &machine);
        for line in [
            "| `ours` | 4.00, 5.00 | 1.00 | 200 | 50 % |",
            "| `peer` | 2.00, failed | 2.50 | 160 | 20 % |",
            "| `steps` | 1.00, 1.00 | 5.00 | – | – |",
            "| `other` | failed, failed | – | – | – |",
            "400 GFLOP/s in f32, 800 in bf16",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn types_are_those_of_flags_and_stores() {
        assert_eq!(Dtype::of_flags(&["--batch", "2", "--dtype", "bfloat16"]), Some(Dtype::Bf16));
        assert_eq!(Dtype::of_flags(&["--dtype", "f32"]), Some(Dtype::F32));
        assert_eq!(Dtype::of_flags(&["--batch", "2"]), None);
        assert_eq!(Dtype::of_manifest(r#"{"extraction": {"precision": "mixed"}}"#), Some(Dtype::Bf16));
        assert_eq!(Dtype::of_manifest(r#"{"extraction":{"precision":"f32"}}"#), Some(Dtype::F32));
        assert_eq!(Dtype::of_manifest("{}"), None);
    }
}
