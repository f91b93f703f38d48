//! Rows given other rows' partners or labels, the way chance would: whole groups change places.
//!
//! Groups are put in a random order and their questions laid out one after the other; the k-th question in the order of the
//! data gets what belongs to the k-th of that order. Questions of one group so stay next to each other, and what they have
//! in common is as common afterwards; single rows shuffled would look like more evidence than there is. Every template's
//! rows change places among themselves, and all rows of a question go to the same question as far as it has those
//! templates.

use std::collections::HashMap;

use rand::Rng;
use rand::seq::SliceRandom;

use crate::Contrast;

/// What is known of rows for shuffling them.
#[derive(Debug)]
pub(crate) struct Shuffler {
    /// Places of questions, group by group.
    groups: Vec<Vec<usize>>,
    /// Every template's rows: the question's place and the row.
    templates: Vec<Vec<(usize, usize)>>,
    rows: usize,
}

/// One shuffle.
#[derive(Debug)]
pub(crate) struct Shuffle {
    /// For each question, in the order of first rows, whose place it takes.
    pub(crate) questions: Vec<usize>,
    /// The same of rows.
    pub(crate) rows: Vec<usize>,
}

impl Shuffler {
    pub(crate) fn new(pairs: &Contrast) -> Self {
        let mut at: HashMap<&str, usize> = HashMap::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut place = vec![0; pairs.rows()];
        for (question, (_, rows)) in pairs.rows_by_question().into_iter().enumerate() {
            let first = rows.first().and_then(|&row| pairs.groups().get(row));
            let group = *at.entry(first.map_or("", String::as_str)).or_insert(groups.len());
            match groups.get_mut(group) {
                Some(members) => members.push(question),
                None => groups.push(vec![question]),
            }
            for row in rows {
                if let Some(place) = place.get_mut(row) {
                    *place = question;
                }
            }
        }
        let placed = |row: usize| place.get(row).map(|&question| (question, row));
        let templates = pairs
            .rows_by_template()
            .into_iter()
            .map(|(_, rows)| rows.into_iter().filter_map(placed).collect());
        Self { groups, templates: templates.collect(), rows: pairs.rows() }
    }

    pub(crate) fn draw(&self, rng: &mut impl Rng) -> Shuffle {
        let mut order: Vec<&Vec<usize>> = self.groups.iter().collect();
        order.shuffle(rng);
        let count = self.groups.iter().map(Vec::len).sum();
        let mut questions = vec![0; count];
        for (&question, &other) in self.groups.iter().flatten().zip(order.into_iter().flatten()) {
            if let Some(taken) = questions.get_mut(question) {
                *taken = other;
            }
        }
        let mut rows = vec![0; self.rows];
        for template in &self.templates {
            let by_question: HashMap<usize, usize> = template.iter().copied().collect();
            let mut free: HashMap<usize, usize> = by_question.clone();
            let mut open = Vec::new();
            for &(question, row) in template {
                let wanted = questions.get(question).copied().unwrap_or(question);
                match (free.remove(&wanted), rows.get_mut(row)) {
                    (Some(other), Some(taken)) => *taken = other,
                    _ => open.push(row),
                }
            }
            // Rows whose question's partner lacks this template take what is left, in the order of the data.
            let left =
                template.iter().filter(|(question, _)| free.contains_key(question)).map(|&(_, row)| row);
            for (row, other) in open.into_iter().zip(left) {
                if let Some(taken) = rows.get_mut(row) {
                    *taken = other;
                }
            }
        }
        Shuffle { questions, rows }
    }
}

/// Of `values` in ascending order, the one that a further draw from the same distribution exceeds with probability at most
/// `level`: the ⌈(1 − level)(m + 1)⌉-th of m; infinite where m is too small for that.
pub(crate) fn exceeded_with(values: &[f64], level: f64) -> f64 {
    let place = ((1.0 - level) * (values.len() + 1) as f64 - 1e-9).ceil().max(1.0);
    values.get(place as usize - 1).copied().unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeedTree;
    use tch::{Device, Kind, Tensor};

    fn pairs(rows: &[(&str, &str, &str)]) -> Contrast {
        let states = || Tensor::zeros([rows.len() as i64, 1], (Kind::Float, Device::Cpu));
        let text = |of: &dyn Fn(&(&str, &str, &str)) -> String| rows.iter().map(of).collect::<Vec<_>>();
        Contrast::new(states(), states(), vec![true; rows.len()], text(&|r| r.0.to_owned()))
            .unwrap()
            .with_variants(text(&|r| r.1.to_owned()), text(&|r| r.2.to_owned()))
            .unwrap()
    }

    #[test]
    fn every_row_is_taken_once_within_its_template_and_questions_stay_whole() {
        // Question c lacks template s, question e lacks t.
        let rows = [
            ("g1", "a", "s"),
            ("g1", "a", "t"),
            ("g1", "b", "s"),
            ("g1", "b", "t"),
            ("g2", "c", "t"),
            ("g3", "d", "s"),
            ("g3", "d", "t"),
            ("g4", "e", "s"),
        ];
        let pairs = pairs(&rows);
        let shuffler = Shuffler::new(&pairs);
        let mut rng = SeedTree::new(0).rng();
        let mut moved = 0;
        for _ in 0..50 {
            let shuffle = shuffler.draw(&mut rng);
            let mut seen = shuffle.rows.clone();
            seen.sort_unstable();
            assert_eq!(seen, (0..rows.len()).collect::<Vec<_>>());
            for (row, &other) in shuffle.rows.iter().enumerate() {
                assert_eq!(rows[row].2, rows[other].2, "another template");
                moved += usize::from(row != other);
            }
            let mut questions = shuffle.questions.clone();
            questions.sort_unstable();
            assert_eq!(questions, (0..5).collect::<Vec<_>>());
        }
        assert!(moved > 100);
    }

    #[test]
    fn one_in_twenty_exceeds_the_largest_of_nineteen() {
        let values: Vec<f64> = (0..19).map(f64::from).collect();
        assert!((exceeded_with(&values, 0.05) - 18.0).abs() < 1e-12);
        assert!((exceeded_with(&values, 0.5) - 9.0).abs() < 1e-12);
        assert!(exceeded_with(&values[1..], 0.05).is_infinite());
    }
}
