//! Which texts are laid out together: those with a common beginning in one row, rows of like width in one batch.

/// Batches of rows of texts, by the texts' numbers; each text once, the widest first.
///
/// A text joins the row of its neighbor in lexical order if at least half of it is there already. (All texts share BOS; a
/// row of texts that share no more would only make attention wider.) Rows and batches hold at most `batch_tokens` tokens,
/// unless one text has more.
pub(super) fn batches(texts: &[Vec<u32>], batch_tokens: usize) -> Vec<Vec<Vec<usize>>> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by(|&a, &b| texts[a].cmp(&texts[b]).then(a.cmp(&b)));
    let mut rows: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut last: Option<usize> = None;
    for number in order {
        let text = &texts[number];
        let common = last.map_or(0, |last| common(&texts[last], text));
        // In lexical order, what a text shares with any before it, it shares with the one before it.
        match rows.last_mut() {
            Some((width, row))
                if 2 * common >= text.len() && *width + text.len() - common <= batch_tokens =>
            {
                *width += text.len() - common;
                row.push(number);
            }
            _ => rows.push((text.len(), vec![number])),
        }
        last = Some(number);
    }
    rows.sort_by_key(|(width, row)| (std::cmp::Reverse(*width), row[0]));
    let mut batches: Vec<(usize, Vec<Vec<usize>>)> = Vec::new();
    for (width, row) in rows {
        match batches.last_mut() {
            // The first row is the widest.
            Some((widest, rows)) if *widest * (rows.len() + 1) <= batch_tokens => rows.push(row),
            _ => batches.push((width, vec![row])),
        }
    }
    batches.into_iter().map(|(_, rows)| rows).collect()
}

fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;

    #[test]
    fn shared_contexts_are_one_row_and_batches_keep_their_bound() {
        // Four choices after each of two contexts, in a mixed order, and a text that shares only its first token.
        let context = |c: u32| [vec![1], vec![c; 20]].concat();
        let choices = (0..8).map(|n| [context(2 + n % 2), vec![10 + n, 11]].concat());
        let texts: Vec<Vec<u32>> = choices.chain([vec![1, 9, 9]]).collect();
        let planned = batches(&texts, 64);
        assert_eq!(planned, [vec![vec![0, 2, 4, 6], vec![1, 3, 5, 7]], vec![vec![8]]]);
        assert_eq!(Batch::shared_len(&[&texts[0], &texts[2], &texts[4], &texts[6]]), 29);
        // No room for all four in a row, and not even for one text.
        for most in [25, 1] {
            let planned = batches(&texts, most);
            for rows in &planned {
                let width =
                    |row: &Vec<usize>| Batch::shared_len(&row.iter().map(|&n| &texts[n]).collect::<Vec<_>>());
                let widest = rows.iter().map(width).max().expect("rows");
                assert!(widest * rows.len() <= most || rows.concat().len() == 1, "{planned:?}");
            }
            let mut all = planned.concat().concat();
            all.sort_unstable();
            assert_eq!(all, (0..texts.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_same_text_twice_is_laid_out_once() {
        let texts = vec![vec![1, 2, 3, 4]; 3];
        assert_eq!(batches(&texts, 4), [vec![vec![0, 1, 2]]]);
    }
}
