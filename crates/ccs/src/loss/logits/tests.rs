//! The slopes of the losses against differences and autograd.

use super::*;
use crate::loss::Term;

/// 7 rows of 2 probes: ordinary logits, a tie, saturated ones. Three questions of 3, 3 and 1 rows, mixed.
fn example() -> (Tensor, Tensor, Vec<usize>) {
    let plus = [0.3, -1.2, 2.0, 0.7, 0.7, 30.0, -45.0, 1.1, -0.2, 0.4, 3.0, -2.0, 0.05, 0.9];
    let minus = [-0.5, 0.8, 1.0, 0.7, 0.2, -30.0, 20.0, -0.3, -0.2, 1.9, -3.0, 2.5, 0.6, -1.4];
    let column = |v: &[f64]| Tensor::from_slice(v).reshape([7, 2]);
    (column(&plus), column(&minus), vec![4, 9, 4, 9, 4, 9, 1])
}

fn mix(text: &str) -> CcsLoss {
    text.parse().unwrap()
}

/// The terms as formulae of probabilities, row by row in plain numbers.
fn by_hand(term: Term, z: &[(f64, f64)], questions: &[usize]) -> f64 {
    let sigma = |z: f64| 1.0 / (1.0 + (-z).exp());
    let log = |x: f64| if x > 0.0 { x * x.ln() } else { 0.0 };
    let entropy = |x: f64, not_x: f64| -log(x) - log(not_x);
    let rows: Vec<(f64, f64)> = z.iter().map(|&(a, b)| (sigma(a), sigma(b))).collect();
    let mean = |row: usize, side: &dyn Fn(&(f64, f64)) -> f64| {
        let mates: Vec<f64> =
            (0..rows.len()).filter(|&i| questions[i] == questions[row]).map(|i| side(&rows[i])).collect();
        mates.iter().sum::<f64>() / mates.len() as f64
    };
    let value = |row: usize| {
        let ((p, q), (a, b)) = (rows[row], z[row]);
        let (m, n) = (0.5 * (p + sigma(-b)), 0.5 * (sigma(-a) + q));
        let consistency = (p + q - 1.0).powi(2);
        let confidence = p.min(q).powi(2);
        let variance = (p - mean(row, &|r| r.0)).powi(2) + (q - mean(row, &|r| r.1)).powi(2);
        match term {
            Term::Ccs => consistency + confidence,
            Term::Consistency => consistency,
            Term::Confidence => confidence,
            Term::SymmetricConfidence => p.min(q).min(1.0 - p).min(1.0 - q).powi(2),
            Term::Js => entropy(m, n) - 0.5 * (entropy(p, sigma(-a)) + entropy(q, sigma(-b))),
            Term::JsConfidence => entropy(m, n),
            Term::PromptVar => variance,
            Term::CcsPromptVar => consistency + confidence + variance,
        }
    };
    (0..rows.len()).map(value).sum::<f64>() / rows.len() as f64
}

#[test]
fn every_term_is_its_formula() {
    let (plus, minus, numbers) = example();
    let questions = Questions::new(&numbers, Kind::Double, Device::Cpu).unwrap();
    for term in Term::ALL {
        let got = mix(term.name()).values(&plus, &minus, Some(&questions)).unwrap();
        for (r, got) in got.iter().enumerate() {
            let at = |z: &Tensor, i: usize| z.double_value(&[i as i64, r as i64]);
            let z: Vec<(f64, f64)> = (0..7).map(|i| (at(&plus, i), at(&minus, i))).collect();
            let want = by_hand(term, &z, &numbers);
            // f64: means of seven rows, each of some thirty operations on numbers below 2.
            assert!((got - want).abs() < 1e-13, "{}: {got} and {want}", term.name());
        }
    }
}

/// A term as plain tensor operations that autograd follows. None of them is defined by our slopes.
fn with_autograd(term: Term, z_plus: &Tensor, z_minus: &Tensor, questions: &Questions) -> Tensor {
    let (p, q) = (z_plus.sigmoid(), z_minus.sigmoid());
    let (not_p, not_q) = ((-z_plus).sigmoid(), (-z_minus).sigmoid());
    let entropy = |x: &Tensor, not_x: &Tensor| -(x * x.log() + not_x * not_x.log());
    let (m, n) = ((&p + &not_q) * 0.5, (&not_p + &q) * 0.5);
    match term {
        Term::Ccs => (&p + &q - 1.0).square() + p.minimum(&q).square(),
        Term::Consistency => (&p + &q - 1.0).square(),
        Term::Confidence => p.minimum(&q).square(),
        Term::SymmetricConfidence => p.minimum(&q).minimum(&not_p.minimum(&not_q)).square(),
        Term::Js => entropy(&m, &n) - (entropy(&p, &not_p) + entropy(&q, &not_q)) * 0.5,
        Term::JsConfidence => entropy(&m, &n),
        Term::PromptVar => {
            questions.deviations(&p).unwrap().square() + questions.deviations(&q).unwrap().square()
        }
        Term::CcsPromptVar => {
            with_autograd(Term::Ccs, z_plus, z_minus, questions)
                + with_autograd(Term::PromptVar, z_plus, z_minus, questions)
        }
    }
}

#[test]
fn slopes_are_autograds_ties_and_saturation_included() {
    let (plus, minus, numbers) = example();
    let questions = Questions::new(&numbers, Kind::Double, Device::Cpu).unwrap();
    for term in Term::ALL {
        let (a, b) = (plus.copy().set_requires_grad(true), minus.copy().set_requires_grad(true));
        with_autograd(term, &a, &b, &questions).sum(Kind::Double).backward();
        let (dp, dq) = mix(term.name()).slopes(&plus, &minus, Some(&questions)).unwrap();
        for (got, want) in [(dp, a.grad()), (dq, b.grad())] {
            let off = (got - want).abs().max().double_value(&[]);
            assert!(off < 1e-13, "{}: off by {off:e}", term.name());
        }
    }
}

#[test]
fn slopes_are_finite_differences() {
    let (plus, minus, numbers) = example();
    let questions = Questions::new(&numbers, Kind::Double, Device::Cpu).unwrap();
    let text = "2*ccs+0.5*js+0.3*js_confidence+3*prompt_var+symmetric_confidence";
    let (dp, dq) = mix(text).slopes(&plus, &minus, Some(&questions)).unwrap();
    for row in 0..7i64 {
        for r in 0..2i64 {
            let (a, b) = (plus.double_value(&[row, r]), minus.double_value(&[row, r]));
            if (a.abs() - b.abs()).abs() < 1e-9 {
                continue; // a minimum ties: p with q, or p with 1 − q; there is no derivative
            }
            for (side, slope) in [(&plus, &dp), (&minus, &dq)] {
                let at = |step: f64| {
                    let moved = side.copy();
                    let _ = moved.get(row).get(r).f_add_scalar_(step).unwrap();
                    let (a, b) =
                        if std::ptr::eq(side, &raw const plus) { (&moved, &minus) } else { (&plus, &moved) };
                    mix(text).values(a, b, Some(&questions)).unwrap()[r as usize]
                };
                let want = 7.0 * (at(1e-5) - at(-1e-5)) / 2e-5;
                let got = slope.double_value(&[row, r]);
                assert!((got - want).abs() < 1e-8, "row {row}, probe {r}: {got} and {want}");
            }
        }
    }
}

#[test]
fn one_template_has_no_variance_and_many_have() {
    let (plus, minus, numbers) = example();
    let term = mix("prompt_var");
    let single: Vec<usize> = (0..7).collect();
    let of = |numbers: &[usize]| Questions::new(numbers, Kind::Double, Device::Cpu).unwrap();
    for questions in [None, Some(&of(&single))] {
        assert_eq!(term.values(&plus, &minus, questions).unwrap(), [0.0, 0.0]);
        let (dp, dq) = term.slopes(&plus, &minus, questions).unwrap();
        assert_eq!((dp.abs() + dq.abs()).max().double_value(&[]), 0.0);
    }
    assert!(term.values(&plus, &minus, Some(&of(&numbers))).unwrap()[0] > 0.01);
}

#[test]
fn swapping_the_statements_changes_no_term_and_f32_stays_finite_far_out() {
    let (plus, minus, numbers) = example();
    for term in Term::ALL {
        let questions = Questions::new(&numbers, Kind::Double, Device::Cpu).unwrap();
        let mix = mix(term.name());
        let one = mix.values(&plus, &minus, Some(&questions)).unwrap();
        let other = mix.values(&minus, &plus, Some(&questions)).unwrap();
        assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-13), "{}", term.name());
        let far = |z: &Tensor| (z * 100.0).to_kind(Kind::Float);
        let questions = Questions::new(&numbers, Kind::Float, Device::Cpu).unwrap();
        let values = mix.values(&far(&plus), &far(&minus), Some(&questions)).unwrap();
        let (dp, dq) = mix.slopes(&far(&plus), &far(&minus), Some(&questions)).unwrap();
        let finite = (dp + dq).isfinite().all().int64_value(&[]) == 1;
        assert!(finite && values.iter().all(|v| v.is_finite()), "{}", term.name());
    }
}
