"""Scikit-learn's, SciPy's and NumPy's answers to the cases of tests/equal.rs: JSON on stdin, JSON on stdout; null where
undefined."""

import json
import math
import sys
import warnings

import numpy as np
import scipy
import sklearn
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest, norm
from sklearn import metrics
from sklearn.calibration import calibration_curve

warnings.filterwarnings("ignore")
sklearn.set_config(assume_finite=True, skip_parameter_validation=True)


def finite(value):
    return None if math.isnan(value) else float(value)


def decided(labels, scores, threshold):
    decisions = (scores >= threshold).astype(int)
    counts = metrics.confusion_matrix(labels, decisions, labels=[0, 1])
    both = dict(labels=[0, 1], zero_division=np.nan)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, decisions, **both)
    balanced = metrics.balanced_accuracy_score(labels, decisions) if len(set(labels.tolist())) == 2 else math.nan
    return decisions, {
        "confusion": counts.ravel().tolist(),
        "accuracy": finite(metrics.accuracy_score(labels, decisions)),
        "balanced accuracy": finite(balanced),
        "sensitivity": finite(recall[1]),
        "specificity": finite(recall[0]),
        "PPV": finite(precision[1]),
        "NPV": finite(precision[0]),
        "F1": finite(f1[1]),
        "Cohen's kappa": finite(metrics.cohen_kappa_score(labels, decisions, labels=[0, 1])),
    }


def expected_error(labels, scores):
    """By scikit-learn's bins: their means, and how many are in each by its own way of finding them."""
    shares, means = calibration_curve(labels, scores, n_bins=10)
    bins = np.searchsorted(np.linspace(0, 1, 11)[1:-1], scores)
    counts = np.bincount(bins, minlength=10)
    return float(np.sum(np.abs(shares - means) * counts[counts > 0]) / len(labels))


def smooth_error(labels, scores):
    """From its definition: residuals smoothed by a Gaussian with all its reflections, and the width that equals it."""
    points = (np.arange(4_000) + 0.5) / 4_000
    residuals = (scores - labels) / len(labels)

    def error(width):
        smoothed = np.zeros_like(points)
        for shift in range(-4, 6, 2):
            for sign in (1, -1):
                distance = points[:, None] - (sign * scores[None, :] + shift)
                smoothed += np.exp(-0.5 * (distance / width) ** 2) @ residuals
        return np.abs(smoothed).mean() / (width * math.sqrt(2 * math.pi))

    if error(1e-3) <= 1e-3:
        return float(error(1e-3))
    return float(brentq(lambda width: error(width) - width, 1e-3, 1.1, xtol=1e-9))


def inverse_temperature(labels, scores):
    scores = np.clip(scores, 1e-9, 1 - 1e-9)
    logits = np.log(scores) - np.log1p(-scores)
    loss = lambda inverse: np.logaddexp(0, np.where(labels == 1, -1, 1) * inverse * logits).mean()
    found = minimize_scalar(loss, bounds=(1 / 20, 20), method="bounded", options={"xatol": 1e-12})
    return float(found.x)


def placements(labels, scores):
    """Each study's share of the other class on the right side: all pairs side by side."""
    abnormal, normal = scores[labels == 1], scores[labels == 0]
    right = (abnormal[:, None] > normal[None, :]) + 0.5 * (abnormal[:, None] == normal[None, :])
    return right.mean(), right.mean(1), right.mean(0)


def delong(labels, scores, others, patients):
    """Areas, variances and covariance, by numpy's covariance where each patient has one study, else by Obuchowski."""
    found = [placements(labels, scores), placements(labels, others)]
    m, n = int((labels == 1).sum()), int((labels == 0).sum())
    if len(set(patients.tolist())) == len(patients):
        if min(m, n) < 2:
            return None
        of_abnormal = np.cov(found[0][1], found[1][1], ddof=1)
        of_normal = np.cov(found[0][2], found[1][2], ddof=1)
        covariances = of_abnormal / m + of_normal / n
    else:
        names = sorted(set(patients.tolist()))
        sums = []
        for area, abnormal, normal in found:
            of_study = np.zeros(len(labels))
            of_study[labels == 1], of_study[labels == 0] = abnormal - area, normal - area
            of = lambda label: [of_study[(patients == name) & (labels == label)].sum() for name in names]
            sums.append(np.array([of(1), of(0)]))
        with_class = [sum(((patients == name) & (labels == label)).any() for name in names) for label in (1, 0)]
        if min(with_class) < 2:
            return None
        (a, b), k = with_class, len(names)
        covariances = np.zeros((2, 2))
        for i in range(2):
            for j in range(2):
                s10 = a / ((a - 1) * m) * (sums[i][0] @ sums[j][0])
                s01 = b / ((b - 1) * n) * (sums[i][1] @ sums[j][1])
                s11 = k / (k - 1) * (sums[i][0] @ sums[j][1] + sums[i][1] @ sums[j][0])
                covariances[i, j] = s10 / m + s01 / n + s11 / (m * n)
    areas = [found[0][0], found[1][0]]
    variance = covariances[0, 0] + covariances[1, 1] - 2 * covariances[0, 1]
    p = float(2 * norm.sf(abs(areas[0] - areas[1]) / math.sqrt(variance))) if variance > 1e-12 else None
    half = norm.ppf(0.975) * math.sqrt(max(covariances[0, 0], 0))
    return {
        "areas": areas,
        "covariances": covariances.tolist(),
        "p": p,
        "interval": [max(0.0, areas[0] - half), min(1.0, areas[0] + half)],
    }


def answer(case):
    labels, scores = np.array(case["labels"]), np.array(case["scores"])
    decisions, out = decided(labels, scores, case["threshold"])
    patients, both = np.array(case["patients"]), len(set(labels.tolist())) == 2
    right = labels == decisions
    out |= {
        "log loss": finite(metrics.log_loss(labels, scores, labels=[0, 1])),
        "Brier score": finite(metrics.brier_score_loss(labels, scores, pos_label=1)),
        "ECE": expected_error(labels, scores),
        "smECE": smooth_error(labels, scores) if case["smooth"] else None,
        "average precision": finite(metrics.average_precision_score(labels, scores)) if labels.any() else None,
        "inverse temperature": inverse_temperature(labels, scores) if both and case["smooth"] else None,
        "AUROC": None,
    }
    if len(set(case["patients"])) == len(labels):
        of = lambda method: binomtest(int(right.sum()), len(right)).proportion_ci(method=method)
        out["wilson"] = [of("wilson").low, of("wilson").high]
    if case["smooth"]:
        exact = binomtest(int(right.sum()), len(right)).proportion_ci(method="exact")
        out["exact"] = [exact.low, exact.high]
        others = (np.array(case["others"]) >= case["threshold"]).astype(int) == labels
        only = [int((right & ~others).sum()), int((others & ~right).sum())]
        out["only"] = only
        out["mcnemar"] = float(binomtest(only[0], sum(only)).pvalue) if sum(only) else None
    if both:
        out["AUROC"] = finite(metrics.roc_auc_score(labels, scores))
        out["delong"] = delong(labels, scores, np.array(case["others"]), patients)
        if case["draws"]:
            rates = metrics.roc_curve(labels, scores, drop_intermediate=False)
            out["roc"] = [[f, t, None if math.isinf(s) else s] for f, t, s in zip(*(r.tolist() for r in rates))]
            precision, recall, thresholds = metrics.precision_recall_curve(labels, scores)
            out["pr"] = np.stack([precision[:-1], recall[:-1], thresholds], 1)[::-1].tolist()
            gather = lambda draw: np.concatenate([np.flatnonzero(patients == patient) for patient in draw])
            drawn = [gather(draw) for draw in case["draws"]]
            values = [metrics.roc_auc_score(labels[d], scores[d]) for d in drawn if len(set(labels[d].tolist())) == 2]
            out["interval"] = np.percentile(values, [2.5, 97.5]).tolist()
            kappas = [decided(labels[d], scores[d], case["threshold"])[1]["Cohen's kappa"] for d in drawn]
            kappas = [kappa for kappa in kappas if kappa is not None]
            out["kappas"] = np.percentile(kappas, [2.5, 97.5]).tolist() if kappas else None
    return out


answers = [answer(case) for case in json.load(sys.stdin)]
versions = f"scikit-learn {sklearn.__version__}, SciPy {scipy.__version__}, NumPy {np.__version__}"
json.dump({"versions": versions, "answers": answers}, sys.stdout)
