"""Reference results for probes, from PyTorch and scikit-learn in float64.

    python ccs.py         (numpy, torch 2.13, scikit-learn)

Writes ccs/: `plus.npy`, `minus.npy` [rows, dim] (float32) and `label.npy` [rows]; rows before `train` in expected.json are
the training split. The states are drawn, with what real ones have: dimensions of scales from 0.05 to 20, a part that both
sides of a pair share, a constant that tells the sides apart, and truth as a weak direction among stronger ones.
"""
import json
from pathlib import Path

import numpy as np, torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

OUT = Path(__file__).parent / "ccs"
ROWS, TRAIN, DIM = 320, 220, 64
SPLIT = (slice(0, TRAIN), slice(TRAIN, ROWS))


def states():
    rng = np.random.default_rng(11)
    label = rng.random(ROWS) < 0.45
    shared = rng.standard_normal((ROWS, 6)) @ rng.standard_normal((6, DIM)) * 1.5
    direction, side, other = rng.standard_normal((3, DIM))
    signs = lambda of: np.where(of, 1.0, -1.0)[:, None]
    # Something else that is the one on one side and the other on the other.
    truth = signs(label) * direction * 0.16 + signs(rng.random(ROWS) < 0.6) * other * 0.3
    scale = np.exp(rng.uniform(np.log(0.05), np.log(20), DIM))
    made = [(shared + sign * (truth + 0.8 * side) + rng.standard_normal((ROWS, DIM))) * scale for sign in (1, -1)]
    return [m.astype(np.float32) for m in made], label


def quality(score, label, sign=1, threshold=0.0):
    """Of the test rows: accuracy and AUROC of a score whose sign was decided on training rows."""
    said = (sign * (score[TRAIN:] - threshold)) > 0
    return {"test_accuracy": float((said == label[TRAIN:]).mean()), "test_auroc": float(roc_auc_score(label[TRAIN:], sign * score[TRAIN:]))}


def sign_of(score, label, threshold=0.0):
    return 1 if ((score[:TRAIN] > threshold) == label[:TRAIN]).mean() >= 0.5 else -1


def fit_ccs(plus, minus, start, epochs=300):
    """Burns et al. 2022, full batch, by AdamW from `start`."""
    weight = torch.tensor(start, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=1e-2, weight_decay=1e-2)
    plus, minus = torch.tensor(plus), torch.tensor(minus)

    def terms():
        p, q = torch.sigmoid(plus @ weight + bias), torch.sigmoid(minus @ weight + bias)
        return ((p + q - 1) ** 2).mean(), (torch.minimum(p, q) ** 2).mean()
    trace = []
    for epoch in range(epochs):
        consistency, confidence = terms()
        if epoch in (0, 1, 9, 99):
            trace.append([epoch, consistency.item(), confidence.item()])
        optimizer.zero_grad()
        (consistency + confidence).backward()
        optimizer.step()
    consistency, confidence = terms()
    return np.append(weight.detach().numpy(), bias.item()), trace, consistency.item(), confidence.item()


def main():
    OUT.mkdir(exist_ok=True)
    (plus, minus), label = states()
    np.save(OUT / "plus.npy", plus), np.save(OUT / "minus.npy", minus), np.save(OUT / "label.npy", label.astype(np.uint8))
    # Each side is normalised by its own training rows.
    normal = []
    for side in (plus.astype(np.float64), minus.astype(np.float64)):
        normal.append((side - side[:TRAIN].mean(0)) / np.maximum(side[:TRAIN].std(0), 1e-6))
    plus, minus = normal
    test = label[TRAIN:]
    out = {"rows": ROWS, "train": TRAIN, "dim": DIM, "majority_test": float(max(test.mean(), 1 - test.mean()))}

    start = np.random.default_rng(0).standard_normal(DIM)
    start /= np.linalg.norm(start)
    theta, trace, consistency, confidence = fit_ccs(plus[:TRAIN], minus[:TRAIN], start)
    np.save(OUT / "ccs_init.npy", start), np.save(OUT / "ccs_adamw_theta.npy", theta)
    p, q = (1 / (1 + np.exp(-(side @ theta[:-1] + theta[-1]))) for side in (plus, minus))
    score = (p + 1 - q) / 2
    sign = sign_of(score, label, 0.5)
    out["ccs_adamw"] = {"losses_before_step": trace, "final_consistency": consistency, "final_confidence": confidence,
                        "sign_from_train": sign} | quality(score, label, sign, 0.5)

    difference = plus - minus
    lr = LogisticRegression(C=0.1, max_iter=100_000, tol=1e-12).fit(difference[:TRAIN], label[:TRAIN])
    np.save(OUT / "lr_coef.npy", np.append(lr.coef_[0], lr.intercept_[0]))
    out["lr_on_differences"] = {"C": 0.1, "train_accuracy": float(lr.score(difference[:TRAIN], label[:TRAIN]))} | quality(
        lr.decision_function(difference), label)

    pca = PCA(1, svd_solver="full").fit(difference[:TRAIN])
    direction = pca.components_[0] * np.sign(pca.components_[0][np.abs(pca.components_[0]).argmax()])
    np.save(OUT / "tpc_direction.npy", direction)
    score = (difference - pca.mean_) @ direction
    sign = sign_of(score, label)
    out["crc_tpc"] = {"explained_variance_ratio": float(pca.explained_variance_ratio_[0]), "sign_from_train": sign} | quality(
        score, label, sign)

    means = [difference[:TRAIN][label[:TRAIN] == truth].mean(0) for truth in (True, False)]
    out["mean_difference"] = quality((difference - difference[:TRAIN].mean(0)) @ (means[0] - means[1]), label)
    (OUT / "expected.json").write_text(json.dumps(out, indent=1) + "\n")
    print(json.dumps(out, indent=1))


main()
