//! Several layers put together.

use ccs_report::Method;
use ccs_trainer::{Compute, Error, Memory, Settings};

use crate::data::{Planted, run};

/// Three layers that show truth through noise of their own, so that together they know more than any of them; and one of
/// noise alone, a hundred times larger.
fn noisy_layers() -> Memory {
    let layers = [1, 2, 3].map(|seed| Planted::new(600, 6, 0.0, seed));
    let mut data = Memory::new(layers[0].rows());
    let labels = &layers[0].labels;
    let shown = |side: &[f32], sign: f32| -> Vec<f32> {
        let truth = |at: usize| if labels[at / 6] { sign * 0.4 } else { -sign * 0.4 };
        side.iter().enumerate().map(|(at, x)| if at % 6 == 0 { x + truth(at) } else { *x }).collect()
    };
    for (number, layer) in layers.iter().enumerate() {
        let hook = format!("blocks.{number}.hook_resid_post");
        data = data.with_layer(&hook, shown(&layer.plus, 1.0), shown(&layer.minus, -1.0));
    }
    let noise = Planted::new(600, 6, 0.0, 4);
    let loud = |side: Vec<f32>| side.into_iter().map(|x| 100.0 * x).collect();
    data.with_layer("blocks.3.hook_resid_post", loud(noise.plus), loud(noise.minus))
}

fn settings() -> Settings {
    let methods = Some(vec![Method::CCS, Method::LR]);
    Settings { methods, seeds: 0, shuffles: 0, directions: 20, ..Settings::default() }
}

#[test]
fn layers_together_know_more_than_the_chosen_one() {
    let report = run(&noisy_layers(), &settings(), Compute::default()).unwrap().report;
    let lr = &report.several_layers[&Method::LR];
    assert_eq!(lr.layers, [0, 1, 2], "the layer of noise is not among the best three");
    let alone = report.chosen[&Method::LR].test.as_ref().unwrap().auroc.unwrap();
    for together in [&lr.mean, &lr.concatenated] {
        let together = together.as_ref().unwrap();
        let (auroc, beyond) = (together.test.auroc.unwrap(), together.auroc_beyond_chosen.unwrap());
        assert!((beyond.value - (auroc - alone)).abs() < 1e-12);
        // One layer shows 0.8σ of a difference: AUROC Φ(0.8) = .79; three together √3 times as much, .92.
        assert!(beyond.ci.unwrap()[0] > 0.0 && (0.86..0.97).contains(&auroc), "{together:?}");
    }
    assert!(report.several_layers[&Method::CCS].mean.is_some());
}

#[test]
fn few_layers_and_none_asked_for_give_none() {
    let none = run(&noisy_layers(), &Settings { ensemble_layers: 0, ..settings() }, Compute::default());
    assert!(none.unwrap().report.several_layers.is_empty());
    let one = Settings { layers: "1".parse().unwrap(), ..settings() };
    assert!(run(&noisy_layers(), &one, Compute::default()).unwrap().report.several_layers.is_empty());
    let refused = run(&noisy_layers(), &Settings { ensemble_layers: 1, ..settings() }, Compute::default());
    assert!(matches!(refused, Err(Error::Setting { name: "ensemble_layers", .. })));
}

/// The loud layer, put beside the others, does not drown them.
#[test]
fn every_layer_is_scaled_to_the_same_spread() {
    let all = Settings { ensemble_layers: 4, ..settings() };
    let report = run(&noisy_layers(), &all, Compute::default()).unwrap().report;
    let lr = &report.several_layers[&Method::LR];
    assert_eq!(lr.layers, [0, 1, 2, 3]);
    assert!(lr.concatenated.as_ref().unwrap().test.auroc.unwrap() > 0.86, "{lr:?}");
}
