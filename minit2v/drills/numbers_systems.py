"""Figures to work out, lessons 10 to 15: training, drift, pictures, long clips, serving, published models."""

from __future__ import annotations

from fractions import Fraction

from minit2v.arithmetic import VAEShape, device, memory
from minit2v.cost.words import times
from minit2v.drills.answers import spelled
from minit2v.drills.numbers import family


@family(
    "training",
    2,
    "4 bytes, the weights",
    "gradients and the optimizer's memory are not in the file, but in the machine",
    hint="AdamW remembers two numbers.",
)
def training_memory(rng):
    million, optimizer = rng.choice((2, 10, 50, 300, 1400)), rng.choice(("sgd", "muon", "adamw"))
    ema = rng.random() < 0.5
    states = memory.training_bytes(million * 10**6, optimizer, 4, ema)
    value = Fraction(sum(states.values()), 10**6)
    each = [f"{name} {size // (million * 10**6)}" for name, size in states.items() if size]
    steps = [f"bytes a parameter: {', '.join(each)}", f"× {million} million = {spelled(value)} MB"]
    names = {
        "sgd": "plain SGD, which remembers nothing",
        "muon": "Muon, which remembers one number per parameter",
        "adamw": "AdamW, which remembers two numbers per parameter",
    }
    text = (
        f"{million} million parameters, trained in fp32 with {names[optimizer]}, {'with' if ema else 'without'} a"
        " running average of the weights (EMA). How many megabytes do weights, gradients and all that take, without"
        " activations?"
    )
    return (
        dict(million=million, optimizer=optimizer, ema=ema),
        text,
        value,
        "MB",
        steps,
        "Training holds several copies of a model.",
    )


@family(
    "training",
    1,
    "the same as a forward pass",
    "one forgets that going back makes two products for every one",
    hint="One forward, two back.",
)
def training_step_flops(rng):
    giga, again = rng.choice((2, 5, 12, 40, 280)), rng.random() < 0.4
    value = device.training_flops(giga, checkpointing=again)
    steps = [f"forward 1, back 2{', forward once more 1' if again else ''}: {value // giga} × {giga} = {value}"]
    text = (
        f"A forward pass takes {giga} GFLOP. How many GFLOP is a training step "
        f"{'with activation checkpointing of all blocks' if again else 'without activation checkpointing'}?"
    )
    why = "The backward pass needs a product for the inputs and one for the weights."
    return dict(giga=giga, checkpointing=again), text, value, "GFLOP", steps, why


@family("training", 1, "the number of steps", "a step is not a clip", hint="batch × steps")
def clips_seen(rng):
    batch, steps_ = rng.choice((8, 16, 32, 48, 64)), rng.choice((500, 1250, 3232, 6000))
    steps = [f"{batch} × {steps_:,} = {batch * steps_:,}"]
    text = f"Batch {batch}, {steps_:,} steps, a world that never repeats itself. How many clips has the model seen?"
    return (
        dict(batch=batch, steps=steps_),
        text,
        batch * steps_,
        "clips",
        steps,
        "Compare runs by clips seen, not by steps.",
    )


@family(
    "failures",
    2,
    "1 / the ratio of steps",
    "speed is distance over time: the measured speed over the one asked for",
    hint="measured / asked",
)
def speed_ratio(rng):
    asked, ratio = rng.choice((7, 8, 14)), Fraction(rng.choice((5, 6, 8, 9, 10, 12)), 10)
    seen = asked * ratio
    word = "stiff" if ratio < 1 else "as asked" if ratio == 1 else "too quick"
    steps = [f"{float(seen):g} / {asked} = {float(ratio):g}: {word}"]
    text = (
        f"The prompt asks for {asked} px/s; the track in the clip shows {float(seen):g} px/s. What is the speed ratio?"
    )
    return dict(asked=asked, seen=seen), text, ratio, "", steps, "1 is right, below 1 is stiff, 0 is a photograph."


@family(
    "failures",
    2,
    "15 % off, nearly fine",
    "errors of each window look small; in a chain they multiply",
    hint="A share kept, to the power of links.",
)
def chained_drift(rng):
    kept, links = rng.choice((90, 95, 97, 98)), rng.randint(3, 10)
    value = 100 * Fraction(kept, 100) ** links
    steps = [f"{kept / 100:g} to the power of {links} = {float(value) / 100:.4f}"]
    text = (
        f"Each extension of a clip keeps {kept} % of the color's saturation. After {links} extensions, how many percent"
        " are left? (Give the number before the % sign.)"
    )
    return (
        dict(kept=kept, links=links),
        text,
        value,
        "",
        steps,
        "Small losses chain. It is why context needs noise in training.",
    )


@family(
    "image-to-video",
    2,
    "twice the channels",
    "the source has as many channels as the latents; the mask needs one more",
    hint="latents, source, mask",
)
def concatenated_channels(rng):
    channels = rng.choice((4, 8, 16, 24))
    steps = [f"latents {channels} + source {channels} + mask 1 = {2 * channels + 1}"]
    text = (
        f"Image-to-video by concatenation: the noisy latents have {channels} channels, the source's latents stand"
        " beside them, and a mask that marks the given frame. How many channels does the network read per frame?"
    )
    return (
        dict(channels=channels),
        text,
        2 * channels + 1,
        "channels",
        steps,
        "The mask tells a given frame from an empty one.",
    )


@family(
    "image-to-video",
    2,
    "all but 4",
    "one thinks of groups; the picture is one pixel frame and one latent frame",
    hint="Latent frame 0 is pixel frame 0.",
)
def frames_to_invent(rng):
    groups = rng.randint(3, 20)
    count = 4 * groups + 1
    value = VAEShape(4).latent_frames(count) - 1
    steps = [f"latent frames: ({count} − 1) / 4 + 1 = {value + 1}", f"the first is given: {value}"]
    text = (
        f"A clip of {count} frames from one picture, 4n + 1 VAE, the first latent frame given clean. How many latent"
        " frames must be invented?"
    )
    return (
        dict(frames=count),
        text,
        value,
        "latent frames",
        steps,
        "One frame of truth, all the others are invented motion.",
    )


@family(
    "long-clips",
    3,
    "frames / window, rounded up",
    "the windows overlap by their context",
    hint="Every window but the first brings window − context new frames.",
)
def windows_needed(rng):
    window, context, more = 17, rng.choice((5, 9)), rng.randint(2, 8)
    count = window + more * (window - context)
    steps = [
        f"new frames a window: {window} − {context} = {window - context}",
        f"1 + ({count} − {window}) / {window - context} = {1 + more}",
    ]
    text = (
        f"{count} frames are made in windows of {window}; each window after the first is given the {context} last"
        " frames of the one before. How many windows?"
    )
    return (
        dict(frames=count, window=window, context=context),
        text,
        1 + more,
        "windows",
        steps,
        "Overlap buys continuity, and costs windows.",
    )


@family(
    "long-clips",
    2,
    "as many as there are pixel frames",
    "context is counted in frames, the network sees latent frames",
    hint="1, 5, 9 frames are 1, 2, 3 latent frames.",
)
def known_latents(rng):
    context = 4 * rng.randint(1, 8) + 1
    value = VAEShape(4).latent_frames(context)
    steps = [f"({context} − 1) / 4 + 1 = {value}"]
    text = (
        f"A window is given {context} frames of context, encoded by a causal 4n + 1 VAE. How many latent frames stand"
        " at noise level 0?"
    )
    return (
        dict(context=context),
        text,
        value,
        "latent frames",
        steps,
        "Known frames are frames at their own noise level, no second code path.",
    )


@family(
    "long-clips",
    3,
    "half of it",
    "keys are remembered and forgotten values; both are cached",
    hint="2 × layers × tokens × width × bytes",
)
def cache_bytes(rng):
    layers, tokens_, dim = rng.choice((12, 30, 40)), rng.choice((1560, 3600, 32760)), rng.choice((1536, 3072, 5120))
    value = Fraction(memory.kv_cache(layers, tokens_, dim), 10**9)
    steps = [f"2 × {layers} × {tokens_:,} × {dim:,} × 2 bytes = {float(value):.3f} GB"]
    text = (
        f"A model that extends clips causally keeps keys and values of {tokens_:,} tokens, {layers} layers of width"
        f" {dim:,}, in bf16. How many gigabytes (10⁹ bytes) is that cache?"
    )
    return (
        dict(layers=layers, tokens=tokens_, dim=dim),
        text,
        value,
        "GB",
        steps,
        "The past of a video is heavy: hence windows.",
    )


@family(
    "speed",
    2,
    "FLOPs / peak FLOP/s",
    "no model reaches the figure of the data sheet; 40 % is usual",
    hint="Utilization.",
)
def seconds_of_a_step(rng):
    tera, on = rng.choice((50, 120, 283, 332, 6523)), device.DEVICES[rng.choice(("rtx-4090", "a100", "h100", "b200"))]
    value = Fraction(tera * 10**12) / (on.flops * on.utilization)
    steps = [
        f"{int(on.flops) // 10**12} TFLOP/s × {float(on.utilization):g} = {float(on.flops * on.utilization) / 1e12:g}",
        f"{tera} / {float(on.flops * on.utilization) / 1e12:g} = {float(value):.3f} s",
    ]
    text = (
        f"One pass of a denoiser is {tera:,} TFLOP. A {on.name} has a peak of {int(on.flops) // 10**12} TFLOP/s, of"
        f" which {float(on.utilization):.0%} are reached. How many seconds is a pass, if compute-bound?"
    )
    return (
        dict(tera=tera, device=on.name),
        text,
        value,
        "s",
        steps,
        "The roofline's compute half; the other half is bytes / bandwidth.",
    )


@family(
    "speed",
    2,
    "3600 / seconds",
    "that is for one device and one clip at a time",
    hint="3600 × batch / latency × devices",
)
def clips_an_hour(rng):
    seconds, batch, machines = rng.choice((6, 12, 20, 45, 90)), rng.choice((1, 2, 4)), rng.choice((1, 4, 8))
    value = Fraction(3600 * batch * machines, seconds)
    steps = [
        f"one device: 3600 × {batch} / {seconds} = {spelled(Fraction(3600 * batch, seconds))}",
        f"× {machines}: {spelled(value)}",
    ]
    text = (
        f"{machines} device{'s' if machines > 1 else ''}, each makes a batch of {batch} in {seconds} s, independently."
        " How many clips an hour?"
    )
    return (
        dict(seconds=seconds, batch=batch, machines=machines),
        text,
        value,
        "clips",
        steps,
        "Throughput is what pays; latency is what people feel.",
    )


@family(
    "speed",
    1,
    "the hourly price divided by the seconds",
    "price per hour over 3600 is the price of a second",
    hint="seconds × devices / 3600 × price",
)
def price_of_a_clip(rng):
    seconds, on = rng.choice((18, 36, 90, 180, 720)), device.DEVICES[rng.choice(("a100", "h100", "h200", "b200"))]
    machines = rng.choice((1, 2, 8))
    value = on.price * seconds * machines / 3600
    steps = [f"{seconds} / 3600 h × {machines} × {float(on.price):g} $ = {float(value):.4g} $"]
    text = (
        f"A clip occupies {machines} {on.name}{'s' if machines > 1 else ''} for {seconds} s, at {float(on.price):g} $"
        " an hour each. What does it cost, in dollars?"
    )
    return (
        dict(seconds=seconds, device=on.name, machines=machines),
        text,
        value,
        "$",
        steps,
        "The last line of every design.",
    )


@family(
    "speed",
    3,
    "the full speed-up of the cached part",
    "Amdahl: what is not cached still takes its time",
    hint="Count the steps that still run.",
)
def cached_speedup(rng):
    count, share = rng.choice((20, 30, 40, 50)), rng.choice((Fraction(1, 5), Fraction(2, 5), Fraction(1, 2)))
    left = count * (1 - share)
    value = Fraction(count) / left
    steps = [
        f"steps that run: {count} × {float(1 - share):g} = {spelled(left)}",
        f"{count} / {spelled(left)} = {float(value):.3g}",
    ]
    text = (
        f"A cache lets {float(share):.0%} of {count} denoising steps take the last step's result. How many times faster"
        " is denoising? (The cache itself costs nothing.)"
    )
    return (
        dict(steps=count, share=share),
        text,
        value,
        "times",
        steps,
        "And skipping early steps loses motion: it is decided there.",
    )


@family(
    "real-systems",
    3,
    "pixels / 8 / 8, with the frames as they are",
    "such VAEs pack time as well, and patches halve both axes again",
    hint="4n + 1, then 8, then the patch.",
)
def published_tokens(rng):
    from minit2v.open_models import find

    name = rng.choice(("wan2.1-t2v-1.3b", "wan2.1-t2v-14b", "cogvideox-5b", "hunyuanvideo"))
    model = find(name)
    clip, grid = model.clip, model.grid
    steps = [
        f"latent frames: ({clip.frames} − 1) / 4 + 1 = {model.latents.frames}",
        f"tokens in a frame: {clip.height} / 16 × {clip.width} / 16 = {grid.places:,}",
        f"{times(grid.frames, grid.places)} = {grid.tokens:,}",
    ]
    text = (
        f"{model.title}: {clip.frames} frames of {clip.height} × {clip.width}, a causal VAE of 4 × 8 × 8, patch 1 × 2 ×"
        " 2. How many tokens does its transformer see?"
    )
    return (
        dict(model=name),
        text,
        grid.tokens,
        "tokens",
        steps,
        "And it squares that number in every layer, at every step.",
    )


@family(
    "real-systems",
    3,
    "the attention's share itself, or its inverse",
    "even free attention leaves all the rest",
    cell="07:attention-40",
    hint="1 / (1 − share)",
)
def free_attention(rng):
    share = rng.choice((7, 19, 34, 50, 71, 80, 87))
    value = 1 / (1 - Fraction(share, 100))
    steps = [f"1 / (1 − {share / 100:g}) = {float(value):.3g}"]
    text = (
        f"Attention is {share} % of a model's FLOPs. If it cost nothing at all, how many times faster would a pass be"
        " at most?"
    )
    return (
        dict(share=share),
        text,
        value,
        "times",
        steps,
        "Amdahl's law. HunyuanVideo's 87 % leave room, a factorised model's 7 % none.",
    )
