"""The swapped-prediction loss with backward in PyTorch, for bench/run_cpu.py, at dimension 128. In and out:
line_protocol.py.

eager_BxKxV: as the SwAV release writes it, a log-softmax for each pair of views. shared_BxKxV: a log-softmax a view,
the best of eager PyTorch. compiled_BxKxV: that through torch.compile, value and gradients.
"""
import codes
import line_protocol
import torch
import torch.nn.functional as F

ASSIGNED = (0, 1)


def as_released(z, bank, views, temperature=0.1):
    scores = F.normalize(z, dim=1) @ bank.t()
    samples = z.shape[0] // views
    loss = 0
    for i in ASSIGNED:
        with torch.no_grad():
            q = codes.codes(scores[samples * i:samples * (i + 1)].detach())
        for v in range(views):
            if v != i:
                x = scores[samples * v:samples * (v + 1)] / temperature
                loss = loss - torch.mean(torch.sum(q * F.log_softmax(x, dim=1), dim=1)) / (views - 1)
    return loss / len(ASSIGNED)


def shared(z, bank, views, temperature=0.1):
    scores = F.normalize(z, dim=1) @ bank.t()
    per_view = scores.view(views, -1, bank.shape[0])
    with torch.no_grad():
        targets = [codes.codes(per_view[i].detach()) for i in ASSIGNED]
    predictions = F.log_softmax(scores / temperature, dim=1).view_as(per_view)
    loss = 0
    for v in range(views):
        others = [q for i, q in zip(ASSIGNED, targets) if i != v]
        if others:
            loss = loss - (sum(others) * predictions[v]).sum()
    return loss / (len(ASSIGNED) * (views - 1) * per_view.shape[1])


def case(samples, prototypes, views, function, transform):
    def make():
        torch.manual_seed(0)
        z = torch.randn(samples * views, 128, requires_grad=True)
        bank = F.normalize(torch.randn(prototypes, 128)).requires_grad_()
        transformed = transform(function)

        def work():
            z.grad = bank.grad = None
            transformed(z, bank, views).backward()

        return work

    return make


if __name__ == "__main__":
    line_protocol.serve({
        f"{name}_{b}x{k}x{v}": case(b, k, v, function, transform)
        for b, k, v in ((64, 3000, 8), (256, 3000, 8), (256, 300, 8), (256, 3000, 2))
        for name, function, transform in (("eager", as_released, lambda f: f), ("shared", shared, lambda f: f),
                                          ("compiled", shared, torch.compile))
    })
