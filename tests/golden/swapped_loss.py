"""The swapped-prediction loss and its gradients by PyTorch's autograd in double, for tests/loss.

In: nothing. Out: swapped_loss_2.bin (2 views) and swapped_loss_8.bin (8 views). Run it with torch and numpy installed:
`python swapped_loss.py`.

A file holds cases 0, 1, ...: embeddings.N ((V B) x D, view-major, not normalised), unit.N (the same, unit rows),
prototypes.N (K x D), options.N (views, temperature, epsilon, iterations), crops.N (the views used for codes) and, once
for the embeddings normalised inside the loss ("raw.") and once for unit.N taken as it is ("unit."): value, grad_embeddings,
grad_prototypes, entropy (mean over the codes' rows, nats), used (distinct arg max of the codes). Every input is
representable in a 32-bit float.
"""
import numpy as np
import torch
import torch.nn.functional as F

import golden_file


def codes(scores, epsilon, iterations):
    q = torch.softmax(scores.flatten() / epsilon, 0).view_as(scores)
    samples, prototypes = q.shape
    for _ in range(iterations):
        q = q / (q.sum(0, keepdim=True) * prototypes)
        q = q / (q.sum(1, keepdim=True) * samples)
    return q * samples


def swapped_prediction(embeddings, prototypes, views, crops, temperature, epsilon, iterations):
    """Caron et al. 2020, equation 2 over all pairs of a view in `crops` and another view. Returns (loss, all codes)."""
    scores = (embeddings @ prototypes.T).chunk(views)
    targets = {i: codes(scores[i].detach(), epsilon, iterations) for i in crops}
    pairs = [F.cross_entropy(scores[v] / temperature, targets[i]) for i in crops for v in range(views) if v != i]
    return sum(pairs) / len(pairs), torch.cat(list(targets.values()))


def float_rounded(t):
    return t.float().double()


def case(generator, samples, prototypes, dimension, views, crops, temperature=0.1, epsilon=0.05, iterations=3):
    def normal(rows):
        return torch.randn(rows, dimension, generator=generator, dtype=torch.float64)

    content = normal(samples).repeat(views, 1) + 0.5 * normal(views * samples)
    scale = torch.rand(views * samples, 1, generator=generator, dtype=torch.float64) * 4 + 0.2
    embeddings = float_rounded(content * scale)
    unit = float_rounded(F.normalize(embeddings))
    bank = float_rounded(F.normalize(normal(prototypes)))
    arrays = {
        "embeddings": embeddings, "unit": unit, "prototypes": bank,
        "options": [views, temperature, epsilon, iterations], "crops": crops,
    }
    for kind, given, prepare in (("raw", embeddings, F.normalize), ("unit", unit, lambda z: z)):
        z, c = given.clone().requires_grad_(), bank.clone().requires_grad_()
        loss, q = swapped_prediction(prepare(z), c, views, crops, temperature, epsilon, iterations)
        loss.backward()
        arrays |= {
            f"{kind}.value": loss.item(), f"{kind}.grad_embeddings": z.grad, f"{kind}.grad_prototypes": c.grad,
            f"{kind}.entropy": torch.special.entr(q).sum(1).mean().item(), f"{kind}.used": len(q.argmax(1).unique()),
        }
    return arrays


def write(name, cases):
    golden_file.write(name, {f"{key}.{n}": np.asarray(value, dtype=np.float64)
                             for n, arrays in enumerate(cases) for key, value in arrays.items()})


def main():
    generator = torch.Generator().manual_seed(20200617)
    write("swapped_loss_2.bin", [
        case(generator, 9, 12, 7, 2, [0]),
        case(generator, 9, 12, 7, 2, [0, 1]),
        case(generator, 1, 5, 3, 2, [0, 1]),
        case(generator, 6, 1, 4, 2, [1]),
        case(generator, 12, 30, 5, 2, [0, 1], temperature=0.2, epsilon=0.03, iterations=10),
    ])
    write("swapped_loss_8.bin", [
        case(generator, 5, 11, 7, 8, [0]),
        case(generator, 5, 11, 7, 8, [0, 1]),
        case(generator, 5, 11, 7, 8, [0, 1, 2]),
        case(generator, 3, 20, 6, 8, [5, 2], temperature=0.07, iterations=1),
    ])


if __name__ == "__main__":
    main()
