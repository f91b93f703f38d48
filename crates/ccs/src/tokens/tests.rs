//! Prompts of different lengths: what is refused, selected, and kept apart.

use super::*;

fn prompts() -> TokenStates {
    let states = Tensor::from_slice(&[1.0f64, -1.0, 5.0, 2.0, 2.0, 7.0, 0.0, 3.0, 3.0, 1.0, -4.0, 6.0]);
    TokenStates::new(states.reshape([6, 2]), vec![0, 1, 4, 6]).unwrap()
}

fn values(t: &Tensor) -> Vec<f64> {
    Vec::try_from(t.reshape(-1)).unwrap()
}

#[test]
fn last_mean_positions_and_parts() {
    let all = prompts();
    assert_eq!(values(&all.last().unwrap()), [1.0, -1.0, 0.0, 3.0, -4.0, 6.0]);
    assert_eq!(values(&all.mean().unwrap()), [1.0, -1.0, 7.0 / 3.0, 4.0, -0.5, 3.5]);
    assert_eq!(all.positions(), [0, -2, -1, 0, -1, 0]);
    let part = all.select(&[2, 0, 2]).unwrap();
    assert_eq!(part.offsets(), [0, 2, 3, 5]);
    assert_eq!(values(part.states()), [3.0, 1.0, -4.0, 6.0, 1.0, -1.0, 3.0, 1.0, -4.0, 6.0]);
    assert!(all.select(&[3]).is_err() && all.select(&[]).is_err());
}

#[test]
fn softmax_and_largest_stay_within_a_prompt() {
    let segments = prompts().segments().unwrap();
    // Differences of 1000 must neither overflow nor leave 0/0.
    let x = Tensor::from_slice(&[3.0f64, 1000.0, 0.0, 1000.0, -5.0, -5.0]).reshape([6, 1]);
    let half = [1.0, 0.5, 0.0, 0.5, 0.5, 0.5];
    assert_eq!(values(&segments.shares(&x).unwrap()), half);
    assert_eq!(values(&segments.hard_max(&x).unwrap()), half);
    let x = Tensor::from_slice(&[3.0f64, 1.0, 0.0, 4.0, -5.0, -6.0]).reshape([6, 1]);
    assert_eq!(values(&segments.hard_max(&x).unwrap()), [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    assert_eq!(values(&segments.max(&x).unwrap()), [3.0, 4.0, -5.0]);
}

#[test]
fn what_is_wrong_is_named_by_row_and_token() {
    let states = |rows: i64| Tensor::zeros([rows, 2], (Kind::Float, Device::Cpu));
    let message = |states: Tensor, offsets: &[usize]| {
        TokenStates::new(states, offsets.to_vec()).unwrap_err().to_string()
    };
    assert_eq!(message(states(3), &[0, 2, 2, 3]), "row 1: its tokens are from 2 up to 2, which is none");
    assert_eq!(message(states(3), &[1, 3]), "row 0: its tokens begin at 1, not at 0");
    assert_eq!(message(states(3), &[0, 2, 4]), "row 1: its tokens end at 4, and there are 3");
    assert!(TokenStates::new(states(3), vec![0]).is_err() && TokenStates::new(states(3), vec![]).is_err());
    assert!(TokenStates::new(Tensor::from_slice(&[1i64, 2]).reshape([2, 1]), vec![0, 2]).is_err());
    let bad = states(5);
    let _ = bad.get(3).get(1).f_fill_(f64::NAN).unwrap();
    assert_eq!(message(bad, &[0, 2, 5]), "the state of token 1 of row 1 is not finite (column 1)");
}
