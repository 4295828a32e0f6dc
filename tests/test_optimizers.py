import math

import pytest
import torch
from torch import nn

from minit2v.optimizers import Muon, hidden_matrices, make_optimizers, orthogonalize


def matrices(n, rows, columns, spread=2.0, seed=0):
    """Random matrices with known singular vectors, and singular values over `spread` powers of ten."""
    generator = torch.Generator().manual_seed(seed)
    small = min(rows, columns)
    u = torch.linalg.qr(torch.randn(n, rows, small, generator=generator)).Q
    v = torch.linalg.qr(torch.randn(n, columns, small, generator=generator)).Q
    s = 10 ** -torch.linspace(0, spread, small)
    return u, s, v, u * s @ v.mT


@pytest.mark.parametrize("rows, columns", [(16, 16), (24, 10), (10, 24)])
def test_orthogonalize_keeps_the_singular_vectors_and_levels_the_values(rows, columns):
    u, s, v, x = matrices(3, rows, columns)
    rotated = u.mT @ orthogonalize(x) @ v  # (n, small, small): diagonal, if the vectors are kept
    values = rotated.diagonal(dim1=1, dim2=2)
    assert (rotated - torch.diag_embed(values)).abs().max() < 1e-4
    assert s.max() / s.min() > 99 and values.min() > 0.6 and values.max() < 1.25
    # and each is what the quintic makes of that one number
    expected = s / s.norm()
    for _ in range(5):
        expected = 3.4445 * expected - 4.7750 * expected**3 + 2.0315 * expected**5
    torch.testing.assert_close(values, expected.expand_as(values), atol=1e-4, rtol=1e-3)


def test_orthogonalize_is_close_to_the_polar_factor_of_the_svd():
    x = torch.randn(1, 32, 48, generator=torch.Generator().manual_seed(0))
    u, _, vh = torch.linalg.svd(x, full_matrices=False)
    off = (orthogonalize(x) - u @ vh).norm() / (u @ vh).norm()
    assert off < 0.3  # the values scatter around 1 by design
    assert orthogonalize(torch.zeros(1, 4, 4)).abs().max() == 0  # a layer that got no gradient stays where it is


def test_a_batch_equals_one_at_a_time():
    x = torch.randn(5, 12, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(orthogonalize(x), torch.cat([orthogonalize(one[None]) for one in x]))


def test_bf16_is_the_same_to_two_digits():
    x = torch.randn(3, 24, 16, generator=torch.Generator().manual_seed(0))
    exact, rough = orthogonalize(x), orthogonalize(x, dtype=torch.bfloat16)
    assert rough.dtype == torch.float32 and 0 < (rough - exact).norm() / exact.norm() < 0.03


@pytest.mark.parametrize("match_adamw", [True, False])
def test_muon_agrees_with_torch_muon(match_adamw):
    shapes = [(24, 16), (16, 24), (24, 16), (20, 20)]
    generator = torch.Generator().manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    theirs = [nn.Parameter(weight.detach().clone()) for weight in ours]
    first = [weight.detach().clone() for weight in ours]
    rule = "match_rms_adamw" if match_adamw else "original"
    mine = Muon(ours, lr=0.02, weight_decay=0.1, match_adamw=match_adamw)
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn=rule)
    for _ in range(4):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    for a, b, start in zip(ours, theirs, first, strict=True):
        assert (a - b).norm() / (b - start).norm() < 0.02  # torch's works in bf16, to 3 digits


def test_muon_takes_a_kernel_as_a_matrix_and_the_momentum_into_account():
    generator = torch.Generator().manual_seed(0)
    kernel = nn.Parameter(torch.randn(6, 4, 3, 3, generator=generator).to(memory_format=torch.channels_last))
    matrix = nn.Parameter(kernel.detach().reshape(6, 36).clone())
    optimizers = Muon([kernel], lr=0.1), Muon([matrix], lr=0.1)
    momentum = torch.zeros(6, 36)
    for _ in range(3):
        kernel.grad = torch.randn(kernel.shape, generator=generator).to(memory_format=torch.channels_last)
        matrix.grad = kernel.grad.reshape(6, 36).clone()
        momentum = 0.95 * momentum + 0.05 * matrix.grad
        ahead = 0.05 * matrix.grad + 0.95 * momentum
        expected = matrix.detach() - 0.1 * 0.2 * math.sqrt(36) * orthogonalize(ahead[None])[0]
        for optimizer in optimizers:
            optimizer.step()
        torch.testing.assert_close(matrix.detach(), expected)
        torch.testing.assert_close(kernel.detach().reshape(6, 36), expected)
    assert kernel.is_contiguous(memory_format=torch.channels_last)


def test_a_matched_muon_step_is_of_adamw_size():
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.zeros(64, 192))
    weight.grad = torch.randn(64, 192, generator=generator)
    Muon([weight], lr=1.0).step()
    assert 0.15 < weight.square().mean().sqrt() < 0.25  # AdamW's usual root mean square, 0.2 lr


class Net(nn.Module):
    adamw_names = ("router",)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.text_embedding = nn.Linear(8, 8)
        self.embedding = nn.Embedding(10, 8)
        self.qkv = nn.Linear(8, 24)
        self.norm = nn.LayerNorm(8)
        self.adaLN = nn.Linear(8, 16)
        self.router = nn.Linear(8, 2)
        self.conv = nn.Conv2d(8, 8, 3)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.position = nn.Parameter(torch.zeros(4, 8))
        self.to_pixels = nn.Linear(8, 3)


def test_hidden_matrices_leaves_the_ends_and_tables_to_adamw():
    assert hidden_matrices(Net()) == ["qkv.weight", "conv.weight"]


def test_every_trained_parameter_has_one_optimizer():
    model = Net()
    for kind, count in (("adamw", 1), ("muon", 2)):
        made = make_optimizers(model, kind, 1e-3, 0.1, (0.9, 0.99), muon_learning_rate=2e-2)
        owned = [weight for optimizer in made for group in optimizer.param_groups for weight in group["params"]]
        assert len(made) == count and len(owned) == len({id(weight) for weight in owned})
        trained = {id(weight) for weight in model.parameters() if weight.requires_grad}
        assert {id(weight) for weight in owned} == trained
        decayed = [w for o in made for g in o.param_groups if g["weight_decay"] for w in g["params"]]
        assert all(weight.ndim > 1 for weight in decayed) and len(decayed) == 9
    assert made[0].param_groups[0]["peak_lr"] == 1e-3 and made[1].param_groups[0]["peak_lr"] == 2e-2
