"""Golden trajectories of the optimisers and schedule values, from PyTorch and from the release's formulas. Writes optim.bin.

Gradients are fixed random numbers, so that a trajectory depends on the optimiser alone. Per step: values of all
parameters one after another. Parameters: "decays" (6), "plain" (4, no decay, LARC leaves it), "zero" (3, starts at 0),
"still" (5, gradient 0 at every third step), "frozen" (4, no gradient in the first 3 steps).
"""
import math

import numpy as np
import torch

from golden_file import write

STEPS, FROZEN = 20, 3
SIZES = {"decays": 6, "plain": 4, "zero": 3, "still": 5, "frozen": 4}
random = np.random.default_rng(3)
start = {n: random.normal(size=s) * (n != "zero") for n, s in SIZES.items()}
gradients = {n: random.normal(size=(STEPS, s)) for n, s in SIZES.items()}
gradients["still"][::3] = 0
rates = [0.1 * (1 + math.cos(math.pi * t / STEPS)) for t in range(STEPS)]


def larc(value, gradient, weight_decay, trust=0.001, epsilon=1e-8):
    """The gradient that plain SGD without decay is then given."""
    w, g = np.linalg.norm(value), np.linalg.norm(gradient)
    if w == 0 or g == 0:
        return gradient
    return (gradient + weight_decay * value) * (trust * w / (g + weight_decay * w + epsilon))


def lars(weight_decay, momentum=0.9, trust=0.001):
    """You et al. 2017, algorithm 1, with tensors written out; "plain" has neither decay nor a local rate."""
    w = {n: torch.tensor(v.copy(), dtype=torch.float64) for n, v in start.items()}
    m = {n: torch.zeros_like(v) for n, v in w.items()}
    rows = []
    for t in range(STEPS):
        for n in w:
            if n == "frozen" and t < FROZEN:
                continue
            g, decay = torch.from_numpy(gradients[n][t]), 0.0 if n == "plain" else weight_decay
            local = 1.0
            if n != "plain" and w[n].norm() > 0 and g.norm() > 0:
                local = trust * w[n].norm() / (g.norm() + decay * w[n].norm())
            m[n] = momentum * m[n] + rates[t] * local * (g + decay * w[n])
            w[n] = w[n] - m[n]
        rows.append(np.concatenate([v.numpy() for v in w.values()]))
    return np.stack(rows)


def run(make, weight_decay, change=None):
    p = {n: torch.tensor(v.copy(), dtype=torch.float64, requires_grad=True) for n, v in start.items()}
    groups = [{"params": [t], "weight_decay": 0.0 if n == "plain" or change else weight_decay} for n, t in p.items()]
    optimizer = make(groups)
    rows = []
    for t in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rates[t]
        for n, tensor in p.items():
            g = gradients[n][t]
            if change and n != "plain":
                g = change(tensor.detach().numpy(), g, weight_decay)
            tensor.grad = None if n == "frozen" and t < FROZEN else torch.from_numpy(g.copy())
        optimizer.step()
        rows.append(np.concatenate([t.detach().numpy() for t in p.values()]))
    return np.stack(rows)


def schedule(start_rate, base, final, warmup, total):
    """The release's list: np.linspace, then a cosine by iteration."""
    cosine = total - warmup
    rise = np.linspace(start_rate, base, warmup)
    fall = [final + 0.5 * (base - final) * (1 + math.cos(math.pi * t / cosine)) for t in range(cosine)]
    return np.concatenate([rise, fall])


write("optim.bin", {
    "start": np.concatenate(list(start.values())),
    "gradients": np.concatenate(list(gradients.values()), axis=1),
    "rates": rates,
    "sgd": run(lambda g: torch.optim.SGD(g, lr=1, momentum=0.9), 0.05),
    "larc": run(lambda g: torch.optim.SGD(g, lr=1, momentum=0.9), 0.05, larc),
    "lars": lars(0.05),
    "adamw": run(lambda g: torch.optim.AdamW(g, lr=1, betas=(0.9, 0.999), eps=1e-8), 0.05),
    "schedule": schedule(0.3, 4.8, 0.0048, 10, 40),
    "schedule_one": schedule(0.3, 0.6, 0.0006, 1, 7),
    "schedule_none": schedule(0.3, 0.6, 0.0006, 0, 7),
    "schedule_all": schedule(0.3, 0.6, 0.0006, 5, 5),
})
