"""Sinkhorn divergences by OTT-JAX and POT in double, for tests/sinkhorn/divergence.cpp.

In: nothing. Out: divergence.bin. Run it with numpy, POT and ott-jax installed: `python divergence.py`.

It holds cases 0, 1, ...: x.N (n x d), y.N (m x d), a.N, b.N (masses), options.N (epsilon, rho), value.N. Costs are
squared distances. Balanced values are OTT's sinkhorn_divergence; unbalanced ones are made of POT's three plans by
Sejourne et al. (2019), definition 3, with KL(P | a b') for an entropy. (ot.bregman.empirical_sinkhorn_divergence adds up
sum P C alone, without the entropies, and clips at 0: another quantity.)
"""
import jax
import numpy as np
import ot
from ott.geometry import pointcloud
from ott.tools import sinkhorn_divergence

import golden_file

jax.config.update("jax_enable_x64", True)


def masses(rng, size, total=1.0):
    m = rng.uniform(0.2, 1, size)
    return total * m / m.sum()


def by_ott(x, y, a, b, epsilon):
    value, out = sinkhorn_divergence.sinkhorn_divergence(
        pointcloud.PointCloud, x, y, a=a, b=b, epsilon=epsilon,
        solve_kwargs={"threshold": 1e-13, "max_iterations": 100000})
    assert all(out.converged)
    return float(value)


def divergence(p, q):
    return np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / q), 0) - p + q)


def by_pot(x, y, a, b, epsilon, rho):
    def value(x, y, a, b):
        cost = ((x[:, None] - y[None]) ** 2).sum(-1)
        plan = ot.unbalanced.sinkhorn_unbalanced(a, b, cost, epsilon, rho, method="sinkhorn", reg_type="kl",
                                                 numItermax=100000, stopThr=1e-15)
        return ((plan * cost).sum() + epsilon * divergence(plan, np.outer(a, b))
                + rho * (divergence(plan.sum(1), a) + divergence(plan.sum(0), b)))

    return (value(x, y, a, b) - value(x, x, a, a) / 2 - value(y, y, b, b) / 2
            + epsilon / 2 * (a.sum() - b.sum()) ** 2)


def cases(rng):
    for n, m, d in ((9, 7, 2), (12, 5, 1), (6, 14, 5)):
        for epsilon in (2.0, 0.5):
            x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.5
            a, b = masses(rng, n), masses(rng, m)
            yield x, y, a, b, (epsilon, np.inf), by_ott(x, y, a, b, epsilon)
            for rho in (1.0, 4.0):
                b = masses(rng, m, 1.6)
                yield x, y, a, b, (epsilon, rho), by_pot(x, y, a, b, epsilon, rho)


def main():
    arrays = {}
    for n, case in enumerate(cases(np.random.default_rng(20180409))):
        arrays |= {f"{key}.{n}": array for key, array in zip(("x", "y", "a", "b", "options", "value"), case)}
    golden_file.write("divergence.bin", arrays)


if __name__ == "__main__":
    main()
