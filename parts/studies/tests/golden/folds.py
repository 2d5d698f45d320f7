"""How evenly scikit-learn's StratifiedGroupKFold deals groups: what crate/tests/index.rs compares with.

    python folds.py STUDIES.json K

STUDIES.json is a list of [group, label]. Prints the fold of each study, from the best of 64 shuffles by the sum over
folds and labels of the squared deviation from 1/K, which is as many as the crate tries. Deterministic. Needs numpy and
scikit-learn.
"""
import json, sys
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

studies, k = json.load(open(sys.argv[1])), int(sys.argv[2])
groups, labels = np.array([s[0] for s in studies]), np.array([s[1] for s in studies])
best = (np.inf, None)
for seed in range(64):
    fold = np.empty(len(studies), int)
    splitter = StratifiedGroupKFold(n_splits=k, shuffle=True, random_state=seed)
    for number, (_, held) in enumerate(splitter.split(labels, labels, groups)):
        fold[held] = number
    shares = [[(labels[fold == f] == label).sum() / (labels == label).sum() for label in (0, 1)] for f in range(k)]
    best = min(best, (((np.array(shares) - 1 / k) ** 2).sum(), fold.tolist()))
print(json.dumps(best[1]))
