"""What a published model costs: parameters, tokens, FLOPs and bytes, all exact integers.

Activation bytes are an estimate of what plain PyTorch holds at the worst moment of a pass (`pieces.widest`), with a
fused kernel, which never writes attention's scores down: the tests measure 0.8 to 1.3 times as much in diffusers'
classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from minit2v.arithmetic import Cost
from minit2v.arithmetic.device import Device, roofline
from minit2v.open_models import cross_attention, factorised, joint_attention, unets
from minit2v.open_models.card import OpenModel
from minit2v.open_models.pieces import Forward

BYTES = 2  # of a number in bf16

ARCHITECTURES = {
    "allegro": cross_attention.allegro,
    "animatediff": unets.animatediff,
    "cogvideox": joint_attention.cogvideox,
    "hunyuanvideo": joint_attention.hunyuanvideo,
    "hunyuanvideo15": joint_attention.hunyuanvideo15,
    "latte": factorised.latte,
    "ltx": cross_attention.ltx,
    "mochi": joint_attention.mochi,
    "modelscope": unets.modelscope,
    "open_sora_2": joint_attention.open_sora_2,
    "stable_video_diffusion": unets.stable_video_diffusion,
    "stdit3": factorised.stdit3,
    "wan": cross_attention.wan,
}


def forward(model: OpenModel) -> Forward:
    """One pass of the model's denoiser over its clip, batch 1, part by part.

    Raises `UserError` where the clip does not suit the VAE or the patches.
    """
    return ARCHITECTURES[model.architecture](model.config, model.grid, model.conditions)


@dataclass(frozen=True)
class Figures:
    """The denoiser alone: neither text encoder nor VAE."""

    tokens: int  # that attend to each other in full attention; a U-Net's latent pixels
    parameters: int  # of all experts together
    active_parameters: int  # of the one that works
    forward: Cost  # of one pass
    passes: int  # per clip: steps × passes per step
    weight_bytes: int  # all experts, in bf16
    activation_bytes: int  # one pass, batch 1, in bf16: about, see above

    @property
    def forward_flops(self) -> int:
        """One pass."""
        return self.forward.flops

    @property
    def clip_flops(self) -> int:
        """All steps, guidance's passes included."""
        return self.passes * self.forward.flops

    @property
    def attention_share(self) -> Fraction:
        """How much of the FLOPs are attention's two products, Q Kᵀ and scores · V."""
        return Fraction(self.forward.attention, self.forward.flops)

    def hours(self, device: Device) -> Fraction:
        """All passes of a clip on one such device, one after the other (`minit2v.arithmetic.device.roofline`).

        It has its assumed utilization, and neither text encoder nor VAE.
        """
        return self.passes * roofline(self.forward, device, BYTES).seconds / 3600

    def fits(self, device: Device) -> bool:
        """Whether weights and activations fit into its memory, at once and on one device."""
        return self.weight_bytes + self.activation_bytes <= device.memory


def figures(model: OpenModel) -> Figures:
    """What the model costs at its clip and its sampling; for others, `dataclasses.replace` them in the model."""
    made = forward(model)
    total = made.total
    return Figures(
        tokens=model.grid.tokens,
        parameters=model.experts * total.parameters,
        active_parameters=total.parameters,
        forward=total,
        passes=model.sampling.steps * model.sampling.passes,
        weight_bytes=BYTES * model.experts * total.parameters,
        activation_bytes=BYTES * made.alive,
    )
