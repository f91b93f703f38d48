//! Numbers of `ccs` as `ccs-report` has them: the one crate computes, the other is data and knows no LibTorch.

use ccs_report as report;

pub(crate) fn terms(ccs::loss::Terms { consistency, confidence }: ccs::loss::Terms) -> report::Terms {
    report::Terms { consistency, confidence }
}

pub(crate) fn sign(sign: ccs::probe::Sign) -> report::Sign {
    match sign {
        ccs::probe::Sign::Plus => report::Sign::Plus,
        ccs::probe::Sign::Minus => report::Sign::Minus,
    }
}

pub(crate) fn confusion(found: ccs::metrics::Confusion) -> report::Confusion {
    let ccs::metrics::Confusion { true_positive, false_positive, true_negative, false_negative } = found;
    report::Confusion { true_positive, false_positive, true_negative, false_negative }
}

pub(crate) fn cross_validation(found: ccs::select::CrossValidation) -> report::CrossValidation {
    let ccs::select::CrossValidation { folds, accuracy, auroc, loss } = found;
    report::CrossValidation { folds, accuracy, auroc, loss }
}

pub(crate) fn platt(ccs::calibrate::Platt { a, b }: ccs::calibrate::Platt) -> report::Platt {
    report::Platt { a, b }
}

pub(crate) fn reliability(found: &ccs::calibrate::Reliability) -> report::Reliability {
    let bin = |&ccs::calibrate::Bin { low, high, rows, probability, share }: &ccs::calibrate::Bin| {
        report::Bin { low, high, rows, probability, share }
    };
    report::Reliability { bins: found.bins.iter().map(bin).collect(), ece: found.ece }
}

pub(crate) fn ensembling(way: ccs::ensemble::Ensembling) -> report::Ensembling {
    match way {
        ccs::ensemble::Ensembling::None => report::Ensembling::None,
        ccs::ensemble::Ensembling::Partial => report::Ensembling::Partial,
        ccs::ensemble::Ensembling::Full => report::Ensembling::Full,
    }
}
