"""Entropic transport by POT (Python Optimal Transport) in double, for tests/sinkhorn.

In: nothing. Out: transport_balanced.bin and transport_unbalanced.bin. Run it with numpy and POT installed:
`python transport.py`.

A file holds cases 0, 1, ...: cost.N (n x m), a.N, b.N (masses), options.N (epsilon, rho_a, rho_b) and plan.N.
Unbalanced problems are POT's with reg_type "kl", whose entropy is KL(P | a b').
"""
import numpy as np
import ot

import golden_file


def masses(rng, size):
    m = rng.uniform(0.2, 1, size)
    return m / m.sum()


def squared_distances(rng, n, m):
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 0.5
    return ((x[:, None] - y[None]) ** 2).sum(-1)


def balanced(rng):
    for n, m in ((9, 7), (6, 14), (1, 5), (5, 1), (16, 16)):
        for epsilon in (1.0, 0.1, 0.05):
            cost, a, b = squared_distances(rng, n, m), masses(rng, n), masses(rng, m)
            plan, log = ot.sinkhorn(a, b, cost, epsilon, method="sinkhorn", numItermax=200000, stopThr=1e-14,
                                    log=True, warn=False)
            assert np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum() < 1e-12
            yield cost, a, b, (epsilon, np.inf, np.inf), plan


def unbalanced(rng):
    for n, m in ((9, 7), (5, 12)):
        for epsilon in (1.0, 0.1):
            for rho in ((1.0, 1.0), (0.3, 2.0), (np.inf, 0.5)):
                cost, a, b = squared_distances(rng, n, m), masses(rng, n), 1.5 * masses(rng, m)
                plan = ot.unbalanced.sinkhorn_unbalanced(a, b, cost, epsilon, rho, method="sinkhorn", reg_type="kl",
                                                         numItermax=100000, stopThr=1e-15)
                yield cost, a, b, (epsilon, *rho), plan


def write(name, cases):
    arrays = {}
    for n, (cost, a, b, options, plan) in enumerate(cases):
        arrays |= {f"cost.{n}": cost, f"a.{n}": a, f"b.{n}": b, f"options.{n}": options, f"plan.{n}": plan}
    golden_file.write(name, arrays)


def main():
    write("transport_balanced.bin", balanced(np.random.default_rng(20130604)))
    write("transport_unbalanced.bin", unbalanced(np.random.default_rng(20150824)))


if __name__ == "__main__":
    main()
