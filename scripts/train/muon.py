"""Muon (Jordan and others 2024, https://kellerjordan.github.io/posts/muon): momentum whose matrix is orthogonalised before each step, so that all directions of a
1x1 convolution learn equally; Adam for everything that is not a matrix. Steps are shares of the weight's own norm, which batch norm makes meaningless."""

import torch


def orthogonal(g, steps=5):
    """The nearest matrix with singular values of about 1, by Newton and Schulz's iteration; bfloat16 is enough."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).float()


class Muon(torch.optim.Optimizer):
    """`lr` is the share of its norm that a matrix moves in a step; other parameters use Adam at `adam` times it."""

    def __init__(self, groups, lr, momentum=0.95, adam=1 / 6):
        super().__init__(groups, {"lr": lr, "momentum": momentum, "adam": adam, "betas": (0.9, 0.99)})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["mean"], state["step"] = torch.zeros_like(p), 0
                state["step"] += 1
                if p.ndim == 4 and p.shape[1] > 1:
                    keep = group["momentum"]
                    state["mean"].lerp_(p.grad, 1 - keep)
                    ahead = orthogonal(torch.lerp(p.grad, state["mean"], keep).flatten(1))
                    p.sub_((ahead * (group["lr"] * p.norm() / (ahead.norm() + 1e-7))).view_as(p))
                else:
                    b1, b2 = group["betas"]
                    if "square" not in state:
                        state["square"] = torch.zeros_like(p)
                    state["mean"].lerp_(p.grad, 1 - b1)
                    state["square"].lerp_(p.grad**2, 1 - b2)
                    mean, square = state["mean"] / (1 - b1 ** state["step"]), state["square"] / (1 - b2 ** state["step"])
                    p.sub_(group["lr"] * group["adam"] * mean / (square.sqrt() + 1e-8))
