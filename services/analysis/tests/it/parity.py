"""Answers as scikit-learn and scipy give them: a JSON object of a task on standard input, JSON on standard output."""

import json
import sys

import numpy as np
import scipy
import scipy.sparse
import scipy.special
import scipy.stats
from sklearn.cluster import DBSCAN
from sklearn.ensemble import IsolationForest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.metrics import adjusted_rand_score, roc_auc_score


def dbscan(task):
    if task["metric"] == "euclidean":
        # By a tree: by products of matrices, distances of just eps would be a matter of luck.
        rows, algorithm = np.array(task["rows"], dtype=np.float64), "kd_tree"
    else:
        indptr = np.cumsum([0] + [len(row) for row in task["rows"]])
        indices = [feature for row in task["rows"] for feature, _ in row]
        data = np.array([value for row in task["rows"] for _, value in row], dtype=np.float64)
        shape = (len(task["rows"]), task["features"])
        rows, algorithm = scipy.sparse.csr_matrix((data, indices, indptr), shape=shape), "brute"
    model = DBSCAN(eps=task["eps"], min_samples=task["min_samples"], metric=task["metric"], algorithm=algorithm)
    model.fit(rows, sample_weight=np.array(task["weights"]))
    return {
        "labels": model.labels_.tolist(),
        "core": sorted(model.core_sample_indices_.tolist()),
        "ari": adjusted_rand_score(model.labels_, task["labels"]),
    }


def tfidf(task):
    options = {"token_pattern": r"(?u)\b\w+\b", "ngram_range": (1, 3), "lowercase": task["lowercase"]}
    counter = CountVectorizer(**options)
    counts = np.asarray(counter.fit_transform(task["texts"]).sum(axis=0)).ravel()
    often = {name: int(count) for name, count in zip(counter.get_feature_names_out(), counts)}
    plain = TfidfVectorizer(**options, max_features=task["max_features"]).fit(task["texts"])
    # Of equally frequent features any may be kept, so rows are compared with the features that we kept.
    model = TfidfVectorizer(**options, vocabulary=task["vocabulary"])
    rows = model.fit_transform(task["texts"]).toarray()
    return {
        "kept": sorted(plain.vocabulary_),
        "frequencies_ours": sorted(often.get(name, 0) for name in task["vocabulary"]),
        "frequencies_theirs": sorted(often[name] for name in plain.vocabulary_),
        "idf": model.idf_.tolist(),
        "rows": rows.tolist(),
    }


def forest(task):
    rows, outlier = np.array(task["rows"]), np.array(task["outlier"])
    scores = []
    for seed in range(task["seeds"]):
        model = IsolationForest(n_estimators=100, max_samples=256, random_state=seed).fit(rows)
        scores.append(roc_auc_score(outlier, -model.score_samples(rows)))
    return {"theirs": scores, "ours": [roc_auc_score(outlier, ours) for ours in task["scores"]]}


def statistics(task):
    stats, special = scipy.stats, scipy.special

    def beta_binomial(k, n, a, b):
        j = np.arange(k, n + 1)
        ln = special.gammaln(n + 1) - special.gammaln(j + 1) - special.gammaln(n - j + 1)
        return float(np.exp(ln + special.betaln(j + a, n - j + b) - special.betaln(a, b)).sum())

    known = {
        "ln_gamma": lambda x: special.gammaln(x),
        "beta_inc": lambda a, b, x: special.betainc(a, b, x),
        "binomial": lambda k, n, p: stats.binom.sf(k - 1, n, p),
        "poisson": lambda k, mean: stats.poisson.sf(k - 1, mean),
        "two_rates": lambda k1, t1, k2, t2: stats.binomtest(int(k1), int(k1 + k2), t1 / (t1 + t2), alternative="greater").pvalue,
        "beta_binomial": beta_binomial,
    }
    tails = [float(known[name](*arguments)) for name, arguments in task["tails"]]
    entropies = [float(stats.entropy(np.bincount(text, minlength=256), base=2)) for text in task["texts"]]
    return {"tails": tails, "discovered": stats.false_discovery_control(task["p"], method="bh").tolist(), "entropies": entropies}


def main():
    task = json.load(sys.stdin)
    answer = {"dbscan": dbscan, "tfidf": tfidf, "forest": forest, "statistics": statistics}[task["what"]]
    json.dump([answer(one) for one in task["tasks"]], sys.stdout)


main()
