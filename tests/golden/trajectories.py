"""Training runs of 20 steps by PyTorch's autograd in double, for tests/loss/trajectories.cpp. Writes trajectories.bin.

A network Linear-ReLU-Linear and prototypes learn by SwAV from random inputs. Each run is written here as the SwAV release
writes its loop, every matrix in full: "queue" stacks a queue on the batch once it is full; "accumulated" takes the whole
batch of 12 in one pass, which the library is given 4 samples at a time; "momentum" takes codes, and the queue's rows, from a
moving average of all weights; "heads" has 7 and 5 prototypes; "hard" turns codes into one-hot rows; "together" is all of
these at once but hard codes. Arrays: inputs.S (views B x 4 of step S, view-major), start.* (the initial weights), NAME (the
20 losses) and NAME.* (the final weights).
"""
import numpy as np
import torch
import torch.nn.functional as F

import golden_file

STEPS, VIEWS, BATCH, PART, INPUT, HIDDEN, DIMENSION, PROTOTYPES = 20, 3, 12, 4, 4, 6, 5, 12
CROPS, TEMPERATURE, EPSILON, RATE, MOMENTUM, ENCODER_MOMENTUM = [0, 1], 0.1, 0.05, 0.05, 0.9, 0.9
generator = torch.Generator().manual_seed(20210407)


def normal(*shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


content = normal(STEPS, BATCH, INPUT)
inputs = torch.stack([content + 0.3 * normal(STEPS, BATCH, INPUT) for _ in range(VIEWS)], 1)  # step, view, sample
start = {"first": normal(HIDDEN, INPUT) / 2, "bias": normal(1, HIDDEN) / 4, "second": normal(DIMENSION, HIDDEN) / 2,
         "prototypes": normal(PROTOTYPES, DIMENSION)}


def embed(x, w):
    return F.normalize(F.relu(x @ w["first"].T + w["bias"]) @ w["second"].T)


def sinkhorn(scores):
    q = torch.exp(scores / EPSILON).T
    q /= q.sum()
    for _ in range(3):
        q /= q.sum(1, keepdim=True) * q.shape[0]
        q /= q.sum(0, keepdim=True) * q.shape[1]
    return (q * q.shape[1]).T


def run(batch=BATCH, queue_length=0, use_average=False, heads=(PROTOTYPES,), hard=False):
    w = {name: value.clone().requires_grad_() for name, value in start.items()}
    average = {name: value.clone() for name, value in start.items()}
    optimizer = torch.optim.SGD(w.values(), lr=RATE, momentum=MOMENTUM)
    queue = torch.zeros(len(CROPS), queue_length, DIMENSION, dtype=torch.float64)
    losses = []
    for step in range(STEPS):
        with torch.no_grad():
            w["prototypes"].copy_(F.normalize(w["prototypes"]))
            average["prototypes"].copy_(F.normalize(average["prototypes"]))
        z = [embed(inputs[step, v, :batch], w) for v in range(VIEWS)]
        with torch.no_grad():
            source = average if use_average else w
            code_z = [embed(inputs[step, v, :batch], source) for v in CROPS]
        loss = 0
        full = queue_length > 0 and bool((queue[0, -1] != 0).any())
        for c, own in zip(w["prototypes"].split(heads), source["prototypes"].detach().split(heads)):
            for place, crop in enumerate(CROPS):
                scores = code_z[place] @ own.T
                if full:
                    scores = torch.cat([queue[place] @ own.T, scores])
                q = sinkhorn(scores)[-batch:]
                if hard:
                    q = F.one_hot(q.argmax(1), q.shape[1]).double()
                pairs = [-(q * F.log_softmax(z[v] @ c.T / TEMPERATURE, 1)).sum(1).mean() for v in range(VIEWS) if v != crop]
                loss = loss + sum(pairs) / (VIEWS - 1) / len(CROPS) / len(heads)
        if queue_length > 0:
            for place in range(len(CROPS)):
                queue[place] = torch.cat([code_z[place], queue[place]])[:queue_length]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for name in w:
                average[name].mul_(ENCODER_MOMENTUM).add_(w[name], alpha=1 - ENCODER_MOMENTUM)
        losses.append(loss.item())
    return losses, w


arrays = {"settings": [VIEWS, PART, TEMPERATURE, EPSILON, RATE, MOMENTUM, ENCODER_MOMENTUM], "crops": CROPS}
arrays |= {f"inputs.{s}": inputs[s].reshape(VIEWS * BATCH, INPUT) for s in range(STEPS)}
arrays |= {f"start.{name}": value for name, value in start.items()}
for name, settings in {
    "plain": dict(batch=PART), "queue": dict(batch=PART, queue_length=8), "accumulated": dict(),
    "momentum": dict(batch=PART, queue_length=8, use_average=True), "heads": dict(batch=PART, heads=(7, 5)),
    "hard": dict(batch=PART, hard=True), "together": dict(queue_length=24, use_average=True, heads=(7, 5)),
}.items():
    losses, weights = run(**settings)
    arrays[name] = losses
    arrays |= {f"{name}.{part}": value.detach() for part, value in weights.items()}
golden_file.write("trajectories.bin", {k: np.asarray(v, dtype=np.float64) for k, v in arrays.items()})
