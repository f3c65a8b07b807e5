"""SwAV codes in PyTorch, for bench/run_cpu.py: eager_BxK works in place as the SwAV release does, compiled_BxK is the
same through torch.compile. In and out: line_protocol.py.
"""
import line_protocol
import torch
import torch.nn.functional as F


def codes(scores, epsilon=0.05, iterations=3):
    q = torch.exp(scores / epsilon).t()
    prototypes, samples = q.shape
    q /= q.sum()
    for _ in range(iterations):
        q /= q.sum(1, keepdim=True)
        q /= prototypes
        q /= q.sum(0, keepdim=True)
        q /= samples
    q *= samples
    return q.t()


def case(samples, prototypes, transform):
    def make():
        torch.manual_seed(0)
        scores = F.normalize(torch.randn(samples, 128)) @ F.normalize(torch.randn(prototypes, 128)).t()
        function = transform(codes)

        @torch.inference_mode()
        def work():
            function(scores)

        return work

    return make


if __name__ == "__main__":
    line_protocol.serve({
        f"{name}_{b}x{k}": case(b, k, transform)
        for b, k in ((512, 3000), (4096, 3000), (256, 300))
        for name, transform in (("eager", lambda f: f), ("compiled", torch.compile))
    })
