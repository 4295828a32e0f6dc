"""How much of the machine's arithmetic does a training step use?

    python benchmarks/step.py [--system sora] [--repeats 5] [--threads N] [--bf16] [--compile]

Times one training step of a recipe (forward, backward, optimizer, at the recipe's batch) in turn with a 1024³ fp32
product, and prints the model's FLOP/s as a share of the product's: the median of the pairs, so that a machine that
slows down slows both. A step counts as three forward passes (backward is two), as is usual; the optimizer's own
products are not counted as useful, its time is.
"""

import argparse
import statistics
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from minit2v.diffusion import FlowMatching
from minit2v.optimizers import make_optimizers
from minit2v.recipes import VAES, PromptedDenoiser, Recipe, config_of, find
from minit2v.training import Settings, compile_layers
from minit2v.world.scenes import WORLDS

PROMPT = "a small striped red ball moves left then bounces on a checkered floor, the camera holds"


def latents_of(recipe: Recipe, batch: int) -> torch.Tensor:
    vae, world = VAES[recipe.vae].vae, WORLDS[recipe.world]
    frames = (world.frames - 1) // vae.temporal + 1
    return torch.randn(batch, frames, vae.channels, world.height // vae.spatial, world.width // vae.spatial)


def forward(model: PromptedDenoiser, recipe: Recipe, latents: torch.Tensor) -> torch.Tensor:
    text = model.read([PROMPT] * len(latents))
    return FlowMatching(recipe.shift, recipe.times).loss(model, latents, text).mean()


def forward_flops(model: PromptedDenoiser, recipe: Recipe, latents: torch.Tensor) -> int:
    with sdpa_kernel(SDPBackend.MATH), torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward(model, recipe, latents)
    return counter.get_total_flops()


def seconds(action) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", default="sora")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--bf16", action="store_true", help="as minit2v train --bf16; the product stays fp32")
    parser.add_argument("--compile", action="store_true", help="as minit2v train --compile")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    recipe = find(options.system)
    settings = Settings(**recipe.training)
    model = PromptedDenoiser(config_of(recipe))
    rates = settings.learning_rate, settings.weight_decay, settings.betas, settings.muon_learning_rate
    optimizers = make_optimizers(model, settings.optimizer, *rates, options.bf16)
    latents = latents_of(recipe, settings.batch)
    flops = 3 * forward_flops(model, recipe, latents)
    if options.compile:
        compile_layers(model)
    a, b = torch.randn(2, 1024, 1024)
    spent = {"model": [], "optimizer": [], "product": []}

    def learn():
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            loss = forward(model, recipe, latents)
        loss.backward()

    def step():
        spent["model"].append(seconds(learn))
        spent["optimizer"].append(seconds(lambda: [optimizer.step() for optimizer in optimizers]))
        model.zero_grad()

    for _ in range(options.repeats + 1):
        step()
        spent["product"].append(seconds(lambda: [a @ b for _ in range(20)]) / 20)
    pairs = list(zip(*(times[1:] for times in spent.values()), strict=True))  # the first one warms up

    def median(values):
        return statistics.median(list(values))

    product = 2 * 1024**3
    print(f"{recipe.name}: batch {settings.batch}, {options.threads} threads, {flops / 1e9:.1f} GFLOP a step")
    print(f"product of 1024³    {median(product / p for *_, p in pairs) / 1e9:8.1f} GFLOP/s")
    print(f"forward + backward  {median(flops / m for m, *_ in pairs) / 1e9:8.1f} GFLOP/s")
    print(f"optimizer's share of the step       {median(o / (m + o) for m, o, _ in pairs):6.1%}")
    print(f"share of the product's FLOP/s       {median(flops / m * p / product for m, o, p in pairs):6.1%}")
    print(f"the same, the optimizer's time too  {median(flops / (m + o) * p / product for m, o, p in pairs):6.1%}")


if __name__ == "__main__":
    main()
