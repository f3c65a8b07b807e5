"""A small classification problem solved by PyTorch: k-NN, linear probe, spread, prototype usage. Writes evaluate.bin.

Three overlapping clusters in 8 dimensions, one dimension constant. The SGD probe's random numbers are Philox 4x32-10,
written here anew from Salmon et al. (2011), so that the same start and the same order of samples come out.
"""
import math

import numpy as np
import torch
import torch.nn.functional as F

from golden_file import write

CLASSES, TRAIN, TEST, D = 3, 150, 90, 8
random = np.random.default_rng(5)
centres = random.normal(size=(CLASSES, D)) * 0.9
labels = [random.integers(0, CLASSES, n) for n in (TRAIN, TEST)]
features = [centres[y] + random.normal(size=(len(y), D)) for y in labels]
for x in features:
    x *= np.array([1, 3, 0.2, 1, 1, 1, 10, 1])
    x[:, 3] = 0.5
train, test = (torch.from_numpy(x) for x in features)
train_y, test_y = (torch.from_numpy(y) for y in labels)


def knn(k, temperature):
    similarity, rows = (F.normalize(test) @ F.normalize(train).t()).topk(k)
    votes = torch.zeros(TEST, CLASSES, dtype=torch.float64)
    votes.scatter_add_(1, train_y[rows], (similarity / temperature).exp())
    return votes.argmax(1).numpy()


def standardized(x):
    return (x - train.mean(0)) / (train.std(0) + 1e-5)


def lbfgs(iterations):
    w = torch.zeros(CLASSES, D, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(CLASSES, dtype=torch.float64, requires_grad=True)
    x = standardized(train)
    optimizer = torch.optim.LBFGS([w, b], lr=1, max_iter=iterations, history_size=10, tolerance_grad=1e-12,
                                  tolerance_change=1e-15, line_search_fn="strong_wolfe")

    def loss():
        return F.cross_entropy(x @ w.t() + b, train_y) + 1e-4 * w.square().sum()

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
    return loss().item(), (standardized(test) @ w.t() + b).argmax(1).numpy()


class Philox:
    """A stream of uniform numbers: key `seed`, the block's number in the counter's low half."""

    def __init__(self, seed):
        self.key, self.block, self.words = seed, 0, []

    def bits(self):
        if not self.words:
            x = [self.block & 0xFFFFFFFF, self.block >> 32, 0, 0]
            k = [self.key & 0xFFFFFFFF, self.key >> 32]
            for _ in range(10):
                p, q = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
                x = [(q >> 32) ^ x[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ x[3] ^ k[1], p & 0xFFFFFFFF]
                k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
            self.words, self.block = x, self.block + 1
        return self.words.pop(0)

    def uniform(self):
        high, low = self.bits() >> 5, self.bits() >> 6
        return ((high << 26) | low) / 2.0**53

    def normal(self):
        radius = math.sqrt(-2 * math.log(1 - self.uniform()))
        return radius * math.cos(2 * math.pi * self.uniform())


def sgd(seed, epochs, batch):
    stream = Philox(seed)
    linear = torch.nn.Linear(D, CLASSES, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[0.01 * stream.normal() for _ in range(D)] for _ in range(CLASSES)]))
        linear.bias.zero_()
    optimizer = torch.optim.SGD(linear.parameters(), lr=0.3, momentum=0.9, weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=0)
    x = standardized(train)
    order = list(range(TRAIN))
    for _ in range(epochs):
        for i in range(TRAIN, 1, -1):
            j = int(stream.uniform() * i)
            order[i - 1], order[j] = order[j], order[i - 1]
        total = 0
        for first in range(0, TRAIN, batch):
            rows = order[first:first + batch]
            optimizer.zero_grad()
            loss = F.cross_entropy(linear(x[rows]), train_y[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        schedule.step()
    return total / TRAIN, linear(standardized(test)).argmax(1).numpy()


lbfgs_loss, lbfgs_predictions = lbfgs(1000)
sgd_loss, sgd_predictions = sgd(11, 12, 64)
prototypes = F.normalize(torch.from_numpy(random.normal(size=(10, D))))
assigned = (test @ prototypes.t()).argmax(1).numpy()
share = np.bincount(assigned, minlength=10) / TEST
write("evaluate.bin", {
    "train": features[0], "train_labels": labels[0], "test": features[1], "test_labels": labels[1],
    "knn_20": knn(20, 0.07), "knn_5": knn(5, 0.01), "knn_1": knn(1, 0.07), "knn_all": knn(TRAIN, 1.0),
    "lbfgs_loss": lbfgs_loss, "lbfgs": lbfgs_predictions, "sgd_loss": sgd_loss, "sgd": sgd_predictions,
    "spread": F.normalize(test).std(0, unbiased=False).mean().item(),
    "prototypes": prototypes.numpy(), "assigned": assigned, "counts": np.bincount(assigned, minlength=10),
    "entropy": -sum(p * math.log(p) for p in share if p > 0),
})
