"""AdamW, and Muon for the hidden matrices.

Adam scales every number of a weight matrix by its own history. Muon (Jordan 2024, kellerjordan.github.io/posts/muon)
treats the matrix as one thing: it replaces the momentum U S Vᵀ by (nearly) U Vᵀ, so that every direction moves
equally far, also those that the gradient hardly shows. Embeddings, the first and last layer, norms, biases and
modulation tables are no such maps from hidden space to hidden space; they stay with AdamW.
"""

import math
from collections import defaultdict

import torch
from torch import nn

# Jordan's quintic: steepest at 0, so that small singular values grow fastest; it need not settle at 1.
A, B, C = 3.4445, -4.7750, 2.0315
ELSEWHERE = ("embed", "position", "modulation", "adaln", "norm")  # in a parameter's name: AdamW's


def orthogonalize(matrices, steps=5, dtype=torch.float32):
    """Nearly U Vᵀ of each matrix U S Vᵀ: singular values in about [0.7, 1.2]. (n, rows, columns), any floats.

    Newton-Schulz iteration: X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X acts on the singular values alone, as the
    polynomial a s + b s³ + c s⁵. torch.optim.Muon does it in bf16, whose 2 or 3 digits are enough: twice as fast
    where the machine multiplies bf16 natively, several times slower where it does not. (Jordan 2024)
    """
    x = matrices.float()  # (n, r, c)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT  # the smaller side first: the products below are r × r
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)  # Frobenius ≥ spectral norm: all s ≤ 1
    x = x.to(dtype)
    for _ in range(steps):
        gram = x @ x.mT  # (n, r, r)
        polynomial = torch.baddbmm(gram, gram, gram, beta=B, alpha=C)
        x = torch.baddbmm(x, polynomial, x, beta=A)  # (n, r, c)
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized. For weights with two or more axes; a conv kernel is (out, in · kernel).

    M ← μ M + (1 − μ) G;  W ← (1 − lr · decay) W − lr · scale · orthogonalize((1 − μ) G + μ M)

    `match_adamw`: scale = 0.2 √max(rows, columns) gives updates the usual size of AdamW's, so that one
    learning rate serves both (Liu et al. 2025, "Muon is scalable", eq. 4); otherwise √max(1, rows/columns),
    Jordan's. `dtype`: of the orthogonalization.
    """

    def __init__(self, params, lr=1e-3, momentum=0.95, weight_decay=0.0, match_adamw=True, dtype=torch.float32):
        super().__init__(
            params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, match_adamw=match_adamw)
        )
        self.dtype = dtype

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            # Matrices of one shape go through Newton-Schulz together: fewer, larger products.
            by_shape = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[weight.flatten(1).shape].append(weight)
            for shape, weights in by_shape.items():
                self._move(weights, shape, group)

    def _move(self, weights, shape, group):
        looks_ahead = torch.stack([self._momentum(weight, group["momentum"]).flatten(1) for weight in weights])
        directions = orthogonalize(looks_ahead, dtype=self.dtype)  # (n, rows, columns)
        rows, columns = shape
        scale = 0.2 * math.sqrt(max(shape)) if group["match_adamw"] else math.sqrt(max(1, rows / columns))
        for weight, direction in zip(weights, directions, strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(direction.reshape(weight.shape), alpha=-group["lr"] * scale)

    def _momentum(self, weight, mu):
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(weight.grad, 1 - mu)
        return weight.grad.lerp(state["momentum"], mu)  # Nesterov: where the momentum is about to be


def hidden_matrices(model):
    """Names of the weights for Muon: those of linear and convolution layers, but for the first and last
    such layer and any whose name speaks of an embedding, position, modulation or norm.

    A model whose layers are registered in another order than they run can list its own exceptions: any part
    of a name in its attribute `adamw_names` counts too.
    """
    names = [
        f"{path}.weight".lstrip(".")
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and layer.weight.requires_grad
    ]
    elsewhere = ELSEWHERE + tuple(getattr(model, "adamw_names", ()))
    return [name for name in names[1:-1] if not any(part.lower() in name.lower() for part in elsewhere)]


def make_optimizers(model, kind, learning_rate, weight_decay, betas, muon_learning_rate=None, bf16=False):
    """The list of optimizers for a model: [AdamW], or [AdamW, Muon] if `kind` is "muon"; `bf16` is Muon's precision.

    Vectors (biases, norms) get no weight decay. Each group remembers its full rate as "peak_lr".
    """
    hidden = set(hidden_matrices(model)) if kind == "muon" else set()
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    rest = [weight for name, weight in trained.items() if name not in hidden]
    groups = [
        {"params": [weight for weight in rest if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in rest if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    made = [torch.optim.AdamW(groups, lr=learning_rate, betas=betas)] if groups else []
    if hidden:
        matrices = [weight for name, weight in trained.items() if name in hidden]
        rates = dict(lr=muon_learning_rate or learning_rate, weight_decay=weight_decay)
        made.append(Muon(matrices, **rates, dtype=torch.bfloat16 if bf16 else torch.float32))
    for optimizer in made:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return made


def learning_rate_factor(step, end, settings):
    """Share of the full learning rate in step 0, 1, …, end − 1: rise, plateau, and fall to 0 at `end`."""
    rise = min(1.0, (step + 1) / max(1, settings.warmup))
    if settings.schedule == "constant" or end is None:
        return rise
    left = min(1.0, (end - step) / max(1, round(settings.decay * end)))  # 1 until the fall begins
    return rise * (left if settings.schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left))


@torch.no_grad()
def update_average(average, model, step, ema):
    """average ← d average + (1 − d) model, d = min(ema, (1 + step) / (10 + step)): a short memory at first."""
    d = min(ema, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - d)
    for mine, its in zip(average.buffers(), model.buffers(), strict=True):
        mine.copy_(its)
