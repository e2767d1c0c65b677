"""scikit-learn on the vectors that our analyses have: scores of sessions, or labels of sources. Run by `loadtest score` and `loadtest speed`.

Reads `N` rows of `D` 32-bit floats from DIR/vectors, and from DIR/commands, where there is one, a line of commands for each row. Writes to DIR/out, for each
method, N 64-bit floats. Prints one JSON object: for each method its CPU seconds and the peak memory of the process so far in MB."""

import argparse
import json
import os
import resource
import time

import numpy as np
import sklearn
from sklearn.cluster import DBSCAN, HDBSCAN
from sklearn.ensemble import IsolationForest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler

# Bytes.
MEMORY = 10 << 30


def dbscan_score(x, eps):
    """Noise first, then by the distance to the fifth neighbour: the eps from which on a session would be a core."""
    labels = DBSCAN(eps=eps, min_samples=5, n_jobs=1).fit(x).labels_
    distance = NearestNeighbors(n_neighbors=min(5, len(x)), n_jobs=1).fit(x).kneighbors(x)[0][:, -1]
    return (labels == -1) + distance / (1.0 + distance.max())


def hdbscan_score(x):
    """How little it is of a cluster; noise is of none."""
    return 1.0 - HDBSCAN(min_cluster_size=5, copy=True).fit(x).probabilities_


def forest_score(x):
    return -IsolationForest(n_estimators=100, max_samples=min(256, len(x)), random_state=1, n_jobs=1).fit(x).score_samples(x)


def lof_score(x):
    return -LocalOutlierFactor(n_neighbors=min(20, len(x) - 1), n_jobs=1).fit(x).negative_outlier_factor_


METHODS = {
    "isolation-forest": forest_score,
    "lof": lof_score,
    "hdbscan": hdbscan_score,
    "dbscan-0.3": lambda x: dbscan_score(x, 0.3),
    "dbscan-1": lambda x: dbscan_score(x, 1.0),
    # Labels: -1 is noise.
    "dbscan-labels-0.5": lambda x: DBSCAN(eps=0.5, min_samples=3, n_jobs=1).fit(x).labels_,
    "dbscan-labels-1": lambda x: DBSCAN(eps=1.0, min_samples=3, n_jobs=1).fit(x).labels_,
    "hdbscan-labels": lambda x: HDBSCAN(min_cluster_size=3, copy=True).fit(x).labels_,
    # As it is commonly run: only the clustering.
    "dbscan-plain": lambda x: DBSCAN(eps=1.0, min_samples=5, n_jobs=1).fit(x).labels_,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--methods", required=True, help="a name; with +commands, TF-IDF of the commands beside the vectors")
    args = parser.parse_args()
    # What needs more does not take the machine from others.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    vectors = np.fromfile(os.path.join(args.dir, "vectors"), dtype=np.float32).reshape(args.rows, -1).astype(np.float64)
    plain = StandardScaler().fit_transform(vectors)
    with_commands = None
    told, out = {"setting": f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}, one thread"}, []
    for method in args.methods.split(","):
        name, _, more = method.partition("+")
        began, clock = time.process_time(), time.monotonic()
        x = plain
        if more:
            if with_commands is None:
                with open(os.path.join(args.dir, "commands"), encoding="utf-8") as lines:
                    texts = lines.read().split("\n")[: args.rows]
                # As the predecessor: 128 terms of one to three words.
                try:
                    terms = TfidfVectorizer(max_features=128, ngram_range=(1, 3), token_pattern=r"\b\w+\b", lowercase=False).fit_transform(texts)
                    with_commands = np.hstack([plain, terms.toarray()])
                except ValueError:
                    with_commands = plain
            x = with_commands
        out.append(np.asarray(METHODS[name](x), dtype=np.float64))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told[method] = {"cpu": time.process_time() - began, "wall": time.monotonic() - clock, "peak_mb": peak}
    np.concatenate(out).tofile(os.path.join(args.dir, "out"))
    print(json.dumps(told))


main()
