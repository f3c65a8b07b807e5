"""SwAV codes by the algorithm of the SwAV release (Caron et al. 2020, `distributed_sinkhorn`), for tests/sinkhorn.

In: nothing. Out: sinkhorn_random.bin, sinkhorn_clustered.bin, sinkhorn_shapes.bin (80-bit floats, the release's order of
operations on Q = exp(S / epsilon)^T) and sinkhorn_extreme.bin (60 decimal digits, where that Q would leave any range).
Run it with numpy and mpmath installed: `python sinkhorn_codes.py`.

A file holds cases 0, 1, ...: scores.N (B x K, every value representable in a 32-bit float), options.N (epsilon,
iterations) and codes.N (B x K).
"""
import mpmath
import numpy as np

import golden_file


def codes_of_the_release(scores, epsilon, iterations):
    """The normalisations in the order in which the release does them, in the widest float numpy has."""
    q = np.exp(scores.astype(np.longdouble) / np.longdouble(epsilon)).T
    prototypes, samples = q.shape
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(axis=1, keepdims=True) / prototypes
        q = q / q.sum(axis=0, keepdims=True) / samples
    return (q * samples).T


def codes_in_many_digits(scores, epsilon, iterations):
    """The same in mpmath, whose exponents have no bounds, so that nothing under- or overflows."""
    mpmath.mp.dps = 60
    epsilon = mpmath.mpf(epsilon)
    samples, prototypes = scores.shape
    q = [[mpmath.exp(mpmath.mpf(float(s)) / epsilon) for s in row] for row in scores]
    for _ in range(iterations):
        for k in range(prototypes):
            total = mpmath.fsum(q[b][k] for b in range(samples))
            for b in range(samples):
                q[b][k] /= total * prototypes
        for b in range(samples):
            total = mpmath.fsum(q[b])
            q[b] = [x / (total * samples) for x in q[b]]
    return np.array([[float(x * samples) for x in row] for row in q])


def unit_rows(m):
    return m / np.linalg.norm(m, axis=1, keepdims=True)


def random_scores(rng, samples, prototypes, dimension=16):
    return unit_rows(rng.normal(size=(samples, dimension))) @ unit_rows(rng.normal(size=(prototypes, dimension))).T


def clustered_scores(rng, samples, prototypes, dimension=16, clusters=3, spread=0.05):
    """Unit embeddings close to a few of the prototypes: scores near 1 in few columns, most columns starved."""
    bank = unit_rows(rng.normal(size=(prototypes, dimension)))
    centres = bank[rng.integers(min(clusters, prototypes), size=samples)]
    return unit_rows(centres + spread * rng.normal(size=centres.shape)) @ bank.T


def write(name, cases, solve):
    arrays = {}
    for n, (scores, epsilon, iterations) in enumerate(cases):
        scores = scores.astype(np.float32).astype(np.float64)
        arrays |= {
            f"scores.{n}": scores,
            f"options.{n}": [epsilon, iterations],
            f"codes.{n}": solve(scores, epsilon, iterations),
        }
    golden_file.write(name, arrays)


def main():
    rng = np.random.default_rng(20200617)
    for kind, make in (("random", random_scores), ("clustered", clustered_scores)):
        scores = make(rng, 16, 12)
        write(f"sinkhorn_{kind}.bin",
              [(scores, epsilon, t) for epsilon in (0.05, 0.03) for t in (1, 2, 3, 10)], codes_of_the_release)
    write("sinkhorn_shapes.bin",
          [(make(rng, b, k), 0.05, t)
           for b, k in ((7, 30), (1, 13), (13, 1), (1, 1), (40, 9)) for make in (random_scores, clustered_scores)
           for t in (1, 3)], codes_of_the_release)
    extreme = []
    for samples, prototypes in ((9, 7), (5, 12)):
        for make in (random_scores, clustered_scores):
            scores = make(rng, samples, prototypes)
            spread = float(np.ptp(scores.astype(np.float32).astype(np.float64)))
            extreme += [(scores, spread / wanted, t) for wanted in (200.0, 1e4) for t in (1, 3, 10)]
    write("sinkhorn_extreme.bin", extreme, codes_in_many_digits)


if __name__ == "__main__":
    main()
