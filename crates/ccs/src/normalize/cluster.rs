//! Cluster normalization (Laurito et al. 2024): what sets clusters of questions apart is taken away cluster by cluster,
//! so that a salient feature which is not truth, and splits the questions in groups, is not what a probe finds.
//!
//! Training pairs are clustered by their midpoints ½(x⁺ + x⁻) with HDBSCAN; in each cluster both sides lose that
//! cluster's means. Pairs outside all clusters, and all rows that are not training rows, lose their template's means:
//! which cluster a new row belongs to is not asked. One number scales everything, at fit and later. Where clusters
//! coincide with answers, this takes the truth away with them.

#[cfg(feature = "hdbscan")]
use hdbscan::{DistanceMetric, Hdbscan, HdbscanHyperParams};
use tch::{Device, Kind, Tensor};

use super::moments::{length, scale};
use super::{Moments, Normalization, Normalizer};
use crate::{Contrast, Error, Result};

/// Fewer pairs than this are no cluster.
pub const MIN_CLUSTER_SIZE: usize = 5;
/// More pairs than this are refused: HDBSCAN is given the distances between all of them, 8N² bytes, here 2 GiB.
pub const MOST_CLUSTERED: usize = 16_384;
/// Rows of distances made at once.
const BLOCK: usize = 256;

/// Each pair's cluster, numbered from 0, by the midpoint of its states; `None` for pairs in none.
///
/// HDBSCAN (Campello et al. 2013) with Euclidean distances, clusters by excess of mass, `min_samples` equal to the
/// least size; takes 8N² bytes.
///
/// # Shapes
/// `pairs`: N; the result: N.
///
/// # Errors
/// A least size below 2, more than [`MOST_CLUSTERED`] pairs, or LibTorch's.
pub fn clusters(pairs: &Contrast, min_cluster_size: usize) -> Result<Vec<Option<usize>>> {
    let refused = |reason| Error::Setting {
        name: "min_cluster_size",
        value: min_cluster_size.to_string(),
        reason,
        hint: "the published code uses 5",
    };
    if min_cluster_size < 2 {
        return Err(refused("a cluster has at least two pairs"));
    }
    let rows = pairs.rows();
    if rows > MOST_CLUSTERED {
        let bytes = 8 * rows as u128 * rows as u128;
        return Err(Error::Setting {
            name: "normalization",
            value: format!("cluster for {rows} training pairs, whose distances take {bytes} bytes"),
            reason: "at most 16384 pairs are clustered, whose distances take 2147483648 bytes (2 GiB)",
            hint: "fit fewer pairs or templates, or take another normalization such as element_wise",
        });
    }
    if rows < 2 * min_cluster_size {
        return Ok(vec![None; rows]); // too few for two clusters, and one is none
    }
    let Some(distances) = distances(pairs)? else { return Ok(vec![None; rows]) };
    let labels = hdbscan(&distances, min_cluster_size)?;
    let labels = labels.ok_or_else(|| refused("HDBSCAN refused the distances between the pairs"))?;
    Ok(labels.into_iter().map(|label| usize::try_from(label).ok()).collect())
}

/// Every pair's cluster, −1 for none; `None` where the distances are refused.
#[cfg(feature = "hdbscan")]
#[allow(clippy::unnecessary_wraps, reason = "without the feature it is an error")]
fn hdbscan(distances: &[Vec<f64>], min_cluster_size: usize) -> Result<Option<Vec<i32>>> {
    let settings = HdbscanHyperParams::builder()
        .min_cluster_size(min_cluster_size)
        .min_samples(min_cluster_size)
        .dist_metric(DistanceMetric::Precalculated)
        .build();
    Ok(Hdbscan::new(distances, settings).cluster().ok())
}

#[cfg(not(feature = "hdbscan"))]
fn hdbscan(_distances: &[Vec<f64>], _min_cluster_size: usize) -> Result<Option<Vec<i32>>> {
    Err(Error::Setting {
        name: "normalization",
        value: "cluster".to_owned(),
        reason: "this build has no HDBSCAN",
        hint: "build with the feature `hdbscan`, or take another normalization such as element_wise",
    })
}

/// Distances between midpoints, symmetrical to the last bit; `None` if all are zero. N rows of N.
///
/// Made some rows at a time: with D beside it, only the distances themselves take memory in the square of N.
fn distances(pairs: &Contrast) -> Result<Option<Vec<Vec<f64>>>> {
    let mut middle = pairs.plus().f_to_kind(Kind::Double)?.f_add(&pairs.minus().f_to_kind(Kind::Double)?)?;
    let _ = middle.f_mul_scalar_(0.5)?;
    let mean = middle.f_mean_dim(0, true, Kind::Double)?;
    let _ = middle.f_sub_(&mean)?; // large offsets would cancel below
    let count = pairs.rows();
    let squares = middle.f_square()?.f_sum_dim_intlist(1, false, Kind::Double)?; // [N]
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(count);
    for from in (0..count).step_by(BLOCK) {
        let (from, length) = (from as i64, BLOCK.min(count - from) as i64);
        let mut block = middle.f_narrow(0, from, length)?.f_mm(&middle.f_tr()?)?; // [B, N]
        let _ = block.f_mul_scalar_(-2.0)?.f_add_(&squares)?;
        let _ = block.f_add_(&squares.f_narrow(0, from, length)?.f_unsqueeze(1)?)?;
        let _ = block.f_clamp_min_(0.0)?.f_sqrt_()?;
        let flat: Vec<f64> = Vec::try_from(block.f_reshape([-1])?.f_to_device(Device::Cpu)?)?;
        rows.extend(flat.chunks(count).map(<[f64]>::to_vec));
    }
    for i in 0..rows.len() {
        let (above, below) = rows.split_at_mut(i);
        let Some(row) = below.first_mut() else { continue };
        for (j, other) in above.iter().enumerate() {
            if let (Some(here), Some(&there)) = (row.get_mut(j), other.get(i)) {
                *here = there;
            }
        }
        if let Some(own) = row.get_mut(i) {
            *own = 0.0;
        }
    }
    let largest = rows.iter().flatten().copied().fold(0.0, f64::max);
    if largest <= 0.0 {
        return Ok(None);
    }
    // Equal midpoints would be infinitely dense.
    for (i, row) in rows.iter_mut().enumerate() {
        let others = row.iter_mut().enumerate().filter(|(j, _)| *j != i);
        others.for_each(|(_, distance)| *distance = distance.max(1e-9 * largest));
    }
    Ok(Some(rows))
}

/// Fits on training rows and normalizes them. The states are \[N, D\], f64.
pub(super) fn fit(train: &Contrast) -> Result<(Normalizer, Tensor, Tensor)> {
    let mut normalizer = Normalizer::fit_moments(Normalization::MeanOnly, train)?;
    normalizer.kind = Normalization::Cluster;
    let (mut plus, mut minus) = normalizer.apply(train, Kind::Double)?;
    let found = clusters(train, MIN_CLUSTER_SIZE)?;
    for cluster in 0..found.iter().flatten().max().map_or(0, |&last| last + 1) {
        let rows = (0i64..).zip(&found).filter(|(_, c)| **c == Some(cluster)).map(|(row, _)| row);
        let rows = Tensor::f_from_slice(&rows.collect::<Vec<_>>())?.f_to_device(plus.device())?;
        for side in [&mut plus, &mut minus] {
            let part = side.f_index_select(0, &rows)?;
            let centered = part.f_sub(&part.f_mean_dim(0, true, Kind::Double)?)?;
            let _ = side.f_index_copy_(0, &rows, &centered)?;
        }
    }
    let scale = scale(length(&plus, &minus)?, train.dim() as f64);
    let rescale = |moments: &mut Moments| -> Result<()> {
        moments.std = moments.std.f_full_like(scale)?;
        Ok(())
    };
    rescale(&mut normalizer.plus)?;
    rescale(&mut normalizer.minus)?;
    if let Some(templates) = &mut normalizer.templates {
        rescale(&mut templates.plus)?;
        rescale(&mut templates.minus)?;
    }
    Ok((normalizer, plus.f_div_scalar_(scale)?, minus.f_div_scalar_(scale)?))
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "equal to the last bit")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ties_and_repetitions_give_clusters_of_the_least_size_or_none(
            middle in prop::collection::vec(0u8..12, 2..60), size in 2usize..7,
        ) {
            let middle: Vec<f64> = middle.into_iter().map(f64::from).collect();
            let found = clusters(&pairs(&middle), size).unwrap();
            prop_assert_eq!(found.len(), middle.len());
            let count = found.iter().flatten().max().map_or(0, |&last| last + 1);
            for cluster in 0..count {
                prop_assert!(found.iter().filter(|c| **c == Some(cluster)).count() >= size, "{:?}", found);
            }
        }
    }

    fn pairs(middle: &[f64]) -> Contrast {
        let states = |half: f64| Tensor::from_slice(middle).reshape([-1, 1]) + half;
        let n = middle.len();
        let labels = (0..n).map(|i| i % 2 == 0).collect();
        Contrast::new(states(0.5), states(-0.5), labels, (0..n).map(|i| i.to_string()).collect()).unwrap()
    }

    #[test]
    fn equal_points_few_points_and_one_heap_do_no_harm() {
        assert_eq!(clusters(&pairs(&[1.0; 12]), 5).unwrap(), [None; 12]);
        assert_eq!(clusters(&pairs(&[1.0, 2.0, 9.0]), 5).unwrap(), [None; 3]);
        // Two heaps of equal points.
        let mut heaps = [0.0; 16];
        heaps[8..].fill(7.0);
        let found = clusters(&pairs(&heaps), 5).unwrap();
        assert!(found[0].is_some() && found[8].is_some() && found[0] != found[8], "{found:?}");
        assert!(matches!(clusters(&pairs(&heaps), 1), Err(Error::Setting { .. })));
    }

    #[test]
    fn more_pairs_than_distances_have_room_for_are_refused_with_their_bytes() {
        let error = clusters(&pairs(&vec![0.0; MOST_CLUSTERED + 1]), 5).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.starts_with("fit fewer pairs")), "{error}");
        let error = error.to_string();
        assert!(error.contains("16385 training pairs") && error.contains("2147745800 bytes"), "{error}");
    }

    #[test]
    fn distances_are_made_in_blocks_and_symmetrical() {
        let middle: Vec<f64> = (0..BLOCK + 40).map(|i| (i as f64 * 0.7).sin()).collect();
        let rows = distances(&pairs(&middle)).unwrap().unwrap();
        for (i, row) in rows.iter().enumerate() {
            for (j, &distance) in row.iter().enumerate() {
                assert!((distance - (middle[i] - middle[j]).abs()).abs() < 1e-7 && distance == rows[j][i]);
            }
        }
    }

    #[test]
    fn other_rows_are_treated_by_the_training_rows_means_and_scale() {
        let middle: Vec<f64> =
            (0..24).map(|i| f64::from(i % 12) * 0.1 + if i < 12 { 0.0 } else { 50.0 }).collect();
        let train = pairs(&middle);
        let (normalizer, plus, _) = fit(&train).unwrap();
        for half in [0, 12] {
            assert!(plus.narrow(0, half, 12).mean(Kind::Double).double_value(&[]).abs() < 1e-12);
        }
        let scale = normalizer.plus.std.double_value(&[0]);
        let (applied, _) = normalizer.apply(&train, Kind::Double).unwrap();
        let want = (middle[0] + 0.5 - normalizer.plus.mean.double_value(&[0])) / scale;
        assert!((applied.double_value(&[0, 0]) - want).abs() < 1e-12);
        assert!((plus.double_value(&[0, 0]) - (middle[0] - 0.55) / scale).abs() < 1e-12);
    }
}
