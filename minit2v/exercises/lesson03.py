"""Lesson 03, latents: from seconds to shapes, what packing saves, and the chapter's worked example and exercise."""

from fractions import Fraction

from minit2v.exercises.judging import Wrong, growth, number, pair
from minit2v.exercises.registry import task


def exact(value, due, what: str, asked: str) -> None:
    """Raises `Wrong` unless value is the number that is due."""
    found = number(value, what)
    if abs(found - due) > 1e-9 * abs(due):
        off = ""
        if found and due and not isinstance(found, complex):
            factor = Fraction(due) / Fraction(found).limit_denominator(10**12)
            off = f", {_factor(factor)}" if factor.numerator * factor.denominator < 10**7 else ""
        raise Wrong(f"For {asked} the {what} is {found:,}{off}.")


def _factor(factor) -> str:
    if factor < 0:
        return "and it cannot be negative"
    if factor > 1:
        return f"which is {float(factor):.6g} times too small"
    return f"which is {float(1 / factor):.6g} times too large"


# ---- the chapter's exercise --------------------------------------------------------------------------------------


@task(
    "03.1", "latent_numbers(seconds, fps, height, width, channels)", "Two seconds at twelve frames", difficulty=1,
    importance=4, minutes=5,
    hints=(
        "Begin with the clip, not with its latents: how many pictures does a projector show in that time?",
        "Frames are seconds times frames per second. Each latent frame has height × width places, and every place has "
        "`channels` numbers.",
        "`frames = seconds * fps`, and the numbers are frames · height · width · channels. Return both, in this order.",
    ),
)
def latent_numbers(learner):
    base = dict(seconds=2, fps=12, height=48, width=40, channels=4)
    names = ("frames", "numbers")

    def part(i):
        return lambda **sizes: pair(learner(*sizes.values()), names)[i]

    if pair(learner(*base.values()), names)[::-1] == (24, 24 * 48 * 40 * 4):
        raise Wrong("The two numbers stand in the wrong order: (frames, numbers) is asked for.")
    growth(part(0), base, dict(seconds=1, fps=1, height=0, width=0, channels=0), "number of frames")
    growth(part(1), base, dict(seconds=1, fps=1, height=1, width=1, channels=1), "count of latent numbers")
    for sizes in ((2, 12, 48, 48, 4), (4, 16, 64, 64, 4), (3, 8, 10, 20, 16)):
        frames, numbers = pair(learner(*sizes), names)
        asked = "{} seconds at {} fps, and latent frames of {} × {} × {},".format(*sizes)
        s, fps, h, w, c = sizes
        exact(frames, s * fps, "number of frames", asked)
        exact(numbers, s * fps * h * w * c, "count of latent numbers", asked)
    return "2 s at 12 fps are 24 frames, and 24 × 48 × 48 × 4 = 221,184 latent numbers."


# ---- what the VAE leaves -----------------------------------------------------------------------------------------


@task(
    "03.2", "latent_shape(frames, height, width, factor, "
            "channels)", "The shape of the load", difficulty=1, importance=5,
    minutes=5,
    hints=(
        "An image VAE packs every frame alone. Which of the sizes does it change, and which does it leave?",
        "Both sides of a frame shrink by the factor; the number of frames stays; a latent place has `channels` "
        "numbers, whatever the three colors were. And what is left over where the factor does not divide?",
        "Raise a ValueError where `height % factor` or `width % factor` is not 0. Otherwise return "
        "(frames, channels, height // factor, width // factor): the course's order, f c h w.",
    ),
)
def latent_shape(learner):
    sizes = [(64, 512, 512, 8, 4), (24, 384, 320, 8, 16), (5, 96, 48, 4, 24), (1, 64, 160, 16, 3)]
    for frames, height, width, factor, channels in sizes:
        found = pair(learner(frames, height, width, factor, channels), ("frames", "channels", "height", "width"))
        found = tuple(number(n, "size") for n in found)
        due = (frames, channels, height // factor, width // factor)
        if found != due:
            raise Wrong(_misfit(found, due, (frames, height, width, factor, channels)))
        if not all(isinstance(n, int) for n in found):
            raise Wrong(f"You return {found}: sizes are whole numbers (int). Divide by //, not by /.")
    for height, width in ((500, 512), (512, 500)):
        told = learner.ask((3, height, width, 8, 4))
        if "raised" not in told:
            raise Wrong(
                f"A clip of {height} × {width} pixels does not divide by 8, and your function returns {told['value']} "
                "without a word. Raise a ValueError: pixels that vanish silently are found much later."
            )
        if told["raised"] not in ("ValueError", "UserError"):
            raise Wrong(f"For {height} × {width} pixels your function raises {told['raised']}; a ValueError is asked "
                        "for.")
    return "Frames and channels are left alone; height and width shrink; what does not divide is refused."


def _misfit(found, due, given):
    frames, height, width, factor, channels = given
    asked = f"For {frames} frames of {height} × {width}, factor {factor}, {channels} channels, you return {found}"
    if sorted(found) == sorted(due):
        return f"{asked}. The sizes are right and their order is not: frames, channels, height, width."
    f, c, h, w = found
    if f != frames:
        return f"{asked}. An image VAE packs every frame alone, so that the number of frames does not change."
    if c != channels:
        return f"{asked}. The second size counts the numbers at one latent place, and that is `channels`."
    if (h, w) == (due[3], due[2]):
        return f"{asked}. Height and width are exchanged."
    if h * factor**2 == height and w * factor**2 == width:
        return f"{asked}. Each side is divided by the factor twice; once is enough."
    if h * w * factor == height * width:
        return f"{asked}. The factor divides both sides of a frame, height and width; in yours it divides only one."
    if (h, w) == (height, width):
        return f"{asked}. A latent frame is smaller than the picture: height and width are still those of the pixels."
    return f"{asked}. Height and width do not come from {height} and {width} divided by {factor}, each."


# ---- compression -------------------------------------------------------------------------------------------------


@task(
    "03.3", "times_fewer(pixels, latents, bytes_per_latent)", "How many times fewer?", difficulty=2, importance=4,
    minutes=10,
    hints=(
        "Count the numbers in the clip, and those in its latents. Do not count places: a pixel has more than one "
        "number.",
        "A pixel has 3 numbers, one byte each. A latent place has as many numbers as channels, and each of them takes "
        "`bytes_per_latent` bytes.",
        "numbers = (t · H · W · 3) / (f · c · h · w), with the shapes in that order; bytes = numbers / "
        "bytes_per_latent.",
    ),
)
def times_fewer(learner):
    names = ("numbers", "bytes")
    chapter = ((64, 512, 512), (64, 4, 64, 64), 2)
    numbers, stored = pair(learner(*chapter), names)
    numbers, stored = number(numbers, "first ratio"), number(stored, "second ratio")
    asked = "For the chapter's clip, 64 × 512 × 512 pixels in latents of 64 × 4 × 64 × 64 at 2 bytes,"
    known = {
        64: "64 times fewer are the *places*. A pixel has 3 numbers, and a latent place has 4",
        16: "that counts a pixel as one number; it has three, one for each color",
        192: "that counts a latent place as one number; it has as many as there are channels",
        8: "8 is by what one side shrinks; both sides do, and channels and colors count as well",
        Fraction(1, 48): "that is the share that is left: turn the fraction over",
        24: "that is the ratio of the bytes; the first answer counts numbers",
        Fraction(100 * 47, 48): "that is the percentage that is saved; asked is how many *times* fewer there are",
    }
    if abs(numbers - 48) > 1e-6:
        why = next((text for value, text in known.items() if abs(numbers - value) < 1e-6), "it is 48, to the digit")
        raise Wrong(f"{asked} you say {float(numbers):.6g} times fewer numbers: {why}.")
    if abs(stored - 24) > 1e-6:
        bits = " Do you count bits? Both are to be counted in bytes." if abs(stored * 8 - 24) < 1e-6 else ""
        raise Wrong(f"{asked} there are 48 times fewer numbers, and you say {float(stored):.6g} times fewer bytes. A "
                    f"pixel's number takes 1 byte and a latent 2: does that make the saving larger or smaller?{bits}")
    for pixels, latents, size in (((17, 64, 64), (5, 24, 8, 8), 4), ((9, 32, 48), (3, 8, 8, 12), 2)):
        numbers, stored = pair(learner(pixels, latents, size), names)
        (t, height, width), (f, c, h, w) = pixels, latents
        due = Fraction(t * height * width * 3, f * c * h * w)
        for what, value, wanted in (("numbers", numbers, due), ("bytes", stored, due / size)):
            if abs(number(value, what) - wanted) > 1e-6 * wanted:
                raise Wrong(
                    f"The chapter's clip is right, but for pixels {pixels} and latents {latents} at {size} bytes you "
                    f"say {float(value):.4g} times fewer {what}, and {float(wanted):.4g} is due. Which size is taken "
                    "from the wrong place, or taken as fixed? This VAE shortens time as well."
                )
    return "48 times fewer numbers, 24 times fewer bytes: say which of the two you mean."


# ---- the worked example ------------------------------------------------------------------------------------------


@task(
    "03.4", "temporal_scores(frames, height, width, heads, steps)", "The smell of the cost", difficulty=2, importance=5,
    minutes=10,
    hints=(
        "Follow one place of the latents through time. How many moments does it have, and how many does each look at?",
        "One place and one head: a square of frames × frames. Then count the places, the heads, and how often all is "
        "done.",
        "frames² · (height · width) · heads · steps.",
    ),
)
def temporal_scores(learner):
    def scores(**sizes):
        return learner(*sizes.values())

    base = dict(frames=6, height=5, width=7, heads=4, steps=3)
    powers = dict(frames=2, height=1, width=1, heads=1, steps=1)
    what = "number of scores"
    try:
        growth(scores, base, powers, what)
    except Wrong as wrong:
        frames = base["frames"]
        many = " Over time, each of the frames looks at all of them, itself included."
        squared = many if "`frames`" in str(wrong) else ""
        spatial = " Height and width count the places, and a place looks at itself only, in other frames." \
            if "`height`" in str(wrong) or "`width`" in str(wrong) else ""
        if number(scores(**base)) * 2 == frames * (frames + 1) * 5 * 7 * 4 * 3:
            squared = " You count each pair of moments once; A looking at B and B looking at A are two scores."
        raise Wrong(f"{wrong}{squared}{spatial}") from None
    for sizes in ((64, 64, 64, 8, 30), (5, 8, 8, 6, 20)):
        f, h, w, heads, steps = sizes
        asked = "{} latent frames of {} × {}, {} heads and {} steps".format(*sizes)
        exact(learner(*sizes), f * f * h * w * heads * steps, what, asked)
    return "The chapter's clip: 4,026,531,840 scores, for one temporal layer."
