"""Agreement of clusterings with classes by scikit-learn, assignments by SciPy. Writes clustering.bin."""
import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from golden_file import write

random = np.random.default_rng(17)


def labelled(n, classes, clusters, noise):
    """Clusters that follow the classes, but for a share of random ones."""
    y = random.integers(0, classes, n)
    c = np.where(random.random(n) < noise, random.integers(0, clusters, n), (y * 7 + y // 3) % clusters)
    return y, c


cases = {
    "good": labelled(500, 10, 10, 0.2),
    "random": labelled(400, 8, 6, 1.0),
    "many": labelled(600, 5, 60, 0.6),
    "few": labelled(300, 20, 4, 0.3),
    "single": (random.integers(0, 4, 50), np.zeros(50, int)),
    "same": (np.arange(40) % 5, np.arange(40) % 5 + 3),
    "gaps": (random.integers(0, 3, 80) * 1000, random.integers(0, 4, 80) * 99 + 5),
}
arrays = {}
for name, (y, c) in cases.items():
    table = contingency_matrix(c, y)
    rows, columns = linear_sum_assignment(table, maximize=True)
    arrays[f"{name}.classes"], arrays[f"{name}.clusters"] = y, c
    arrays[f"{name}.wanted"] = [normalized_mutual_info_score(y, c), adjusted_rand_score(y, c),
                                table[rows, columns].sum() / len(y), table.max(1).sum() / len(y),
                                len(set(c)), len(set(y))]
for rows, columns in ((30, 30), (20, 45), (45, 20), (1, 9), (9, 1)):
    gains = random.normal(size=(rows, columns)) * 100
    chosen = linear_sum_assignment(gains, maximize=True)
    arrays[f"gains_{rows}_{columns}"] = gains
    arrays[f"total_{rows}_{columns}"] = gains[chosen].sum()
write("clustering.bin", arrays)
