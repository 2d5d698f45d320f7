"""Scikit-learn's answers to the cases of tests/metrics.rs: JSON on stdin, JSON on stdout; null where undefined."""

import json
import math
import sys
import warnings

import numpy as np
import sklearn
from scipy.stats import binomtest
from sklearn import metrics

warnings.filterwarnings("ignore")


def finite(value):
    return None if math.isnan(value) else float(value)


def answer(case):
    labels, scores = np.array(case["labels"]), np.array(case["scores"])
    decisions = (scores >= case["threshold"]).astype(int)
    counts = metrics.confusion_matrix(labels, decisions, labels=[0, 1])
    undefined = dict(zero_division=np.nan)
    out = {
        "confusion": counts.ravel().tolist(),
        "accuracy": finite(metrics.accuracy_score(labels, decisions)),
        "sensitivity": finite(metrics.recall_score(labels, decisions, **undefined)),
        "specificity": finite(metrics.recall_score(labels, decisions, pos_label=0, **undefined)),
        "precision": finite(metrics.precision_score(labels, decisions, **undefined)),
        "f1": finite(metrics.f1_score(labels, decisions, **undefined)),
        "kappa": finite(metrics.cohen_kappa_score(labels, decisions, labels=[0, 1])),
        "log_loss": finite(metrics.log_loss(labels, scores, labels=[0, 1])),
        "auroc": None,
        "roc": None,
        "interval": None,
        "wilson": None,
    }
    right = (labels == decisions)
    if len(set(case["patients"])) == len(labels):
        found = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
        out["wilson"] = [found.low, found.high]
    if len(set(labels.tolist())) == 2:
        out["auroc"] = finite(metrics.roc_auc_score(labels, scores))
        rates = metrics.roc_curve(labels, scores, drop_intermediate=False)
        out["roc"] = [[f, t, None if math.isinf(s) else s] for f, t, s in zip(*(r.tolist() for r in rates))]
        patients = np.array(case["patients"])
        drawn = [np.concatenate([np.flatnonzero(patients == patient) for patient in draw]) for draw in case["draws"]]
        values = [metrics.roc_auc_score(labels[d], scores[d]) for d in drawn if len(set(labels[d].tolist())) == 2]
        out["interval"] = np.percentile(values, [2.5, 97.5]).tolist()
    return out


answers = [answer(case) for case in json.load(sys.stdin)]
json.dump({"sklearn": sklearn.__version__, "answers": answers}, sys.stdout)
