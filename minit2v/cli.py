"""The command line: `minit2v generate | evaluate | world | judge | train | check | cost | drill`.

Results go to stdout, with --json as one JSON object; progress goes to stderr. Exit codes: 0 is success, 2 a wrong
input, told in one line, 130 a stop by Ctrl-C, 1 anything else. Nothing heavy is imported before it is needed: a
wrong word in a prompt is told before torch is loaded.
"""

from __future__ import annotations

import argparse
import os
import sys

from minit2v import __version__, commands
from minit2v.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that cannot show a sign must not end the program
    try:
        options = parser().parse_args(arguments)
        code = options.run(options) or 0
        sys.stdout.flush()
        return code
    except UserError as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt:
        return _complain("stopped", 130)
    except BrokenPipeError:  # whoever read the output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:
        if os.environ.get("MINIT2V_TRACEBACK"):
            raise
        what = f"{type(error).__name__}: {error}"
        return _complain(f"unexpected {what} (set MINIT2V_TRACEBACK=1 to see where, and please report it)", 1)


def _complain(message: str, code: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


# ---- words -------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Tells a wrong command line in one line, as every other wrong input."""

    def error(self, message):
        raise UserError(f"{message}; see '{self.prog} --help'")


def parser() -> Parser:
    """The command line's grammar."""
    top = Parser("minit2v", description="Text to video in miniature: short clips that do what the prompt says.")
    top.add_argument("--version", action="version", version=f"minit2v {__version__}")
    subs = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name, run, about):
        sub = subs.add_parser(name, help=about, description=about, allow_abbrev=False)
        sub.set_defaults(run=run)
        sub.add_argument("--json", action="store_true", help="print one JSON object")
        return sub

    make = command("generate", commands.generate, "Make a clip from a prompt.")
    make.add_argument("prompt", nargs="+", help="such as: a small red ball bounces")
    _system(make)
    make.add_argument("--image", metavar="FILE", help="the picture that the clip begins with")
    make.add_argument("--last-image", metavar="FILE", help="the picture that the clip ends with")
    make.add_argument("--fit", choices=("crop", "pad"), default="crop", help="pictures of another shape (default crop)")
    make.add_argument("--image-noise", type=float, default=0.0, metavar="L", help="0: keep the pictures; 0.3: freer")
    make.add_argument("--frames", type=int, metavar="N", help="4n+1; default: as in training")
    make.add_argument("--seed", type=int, default=0, metavar="S", help="another seed, another clip (default 0)")
    _outputs(make)

    test = command("evaluate", commands.evaluate, "Measure a system on many prompts, beside its controls.")
    _system(test)
    test.add_argument("--split", default="held-out", help="held-out (default) or train")
    test.add_argument("--prompts", metavar="FILE", help="prompts of your own, one on each line, in place of a split")
    test.add_argument("--pillar", action="store_true", help="only prompts whose subject passes behind a pillar")
    test.add_argument("--pictures", action="store_true", help="image-to-video, from unseen pictures with prompts")
    test.add_argument("--image-noise", type=float, default=0.0, metavar="L", help="on these; 0 (default): as they are")
    test.add_argument("--n", type=int, metavar="N", help="how many prompts (default 100, or all of FILE)")
    test.add_argument("--frames", type=int, metavar="N", help="of each clip, 4n+1; default: as in training")
    test.add_argument("--seed", type=int, default=0, metavar="S", help="draws the prompts and the clips (default 0)")
    test.add_argument("--controls", type=int, default=50, metavar="N", help="prompts with controls (default 50)")
    test.add_argument("--sheet", metavar="FILE.png", help="also a contact sheet of the first 24 clips")

    show = command("world", commands.world, "Render the true clip of a caption.")
    show.add_argument("caption", nargs="+", help="such as: a small red ball bounces")
    show.add_argument("--seed", type=int, default=0, metavar="S", help="what the caption leaves open (default 0)")
    show.add_argument("--frames", type=int, metavar="N", help="of the clip; default: as in training")
    _world(show)
    _outputs(show)

    look = command("judge", commands.judge, "Tell what a clip shows.")
    look.add_argument("file", metavar="FILE", help="an .npz, .mp4 or .gif")
    look.add_argument("--prompt", metavar="P", help="what it should show")
    _world(look)

    learn = command("train", commands.train, "Train a recipe; Ctrl-C stops and saves, --resume goes on.")
    learn.add_argument("--system", default="sora", metavar="R", help="a recipe: a system, or a VAE (default sora)")
    learn.add_argument("--out", required=True, metavar="DIR", help="the run's folder")
    learn.add_argument("--resume", action="store_true", help="go on with the run in DIR")
    learn.add_argument("--steps", type=int, metavar="N", help="default: the recipe's")
    learn.add_argument("--minutes", type=float, metavar="M", help="end by the clock instead")
    learn.add_argument("--batch", type=int, metavar="B", help="clips per step; default: the recipe's")
    learn.add_argument("--seed", type=int, default=0, metavar="S")
    learn.add_argument("--rate", type=float, default=1.0, metavar="R", help="times the recipe's learning rates")
    learn.add_argument("--clips", type=int, default=30000, metavar="N", help="encoded once (default 30000)")
    learn.add_argument("--latents", metavar="DIR", help="where these lie: runs may share them; default: in --out")
    learn.add_argument("--start", metavar="W", help="begin with these weights (a checkpoint or a run), not random ones")
    learn.add_argument("--decoder-only", action="store_true", help="a VAE's: keep its encoder, and so its latents")
    learn.add_argument("--vae", metavar="V", help="a system's VAE; default: the recipe's")
    learn.add_argument("--bf16", action="store_true", help="half precision, where the machine multiplies it natively")
    learn.add_argument("--compile", action="store_true", help="fuse operations; needs a C++ compiler")
    learn.add_argument("--threads", type=int, metavar="N", help="of torch; default: its own choice")

    mark = command("check", _mark, "Grade notebooks with exercises: one, or a folder of them.")
    mark.add_argument("path", metavar="NOTEBOOK|FOLDER", help="what learners handed in")
    mark.add_argument("--csv", metavar="FILE", help="also a table, one line for each task")
    mark.add_argument("--seconds", type=float, default=5.0, metavar="S", help="for judging a task (default 5)")
    mark.add_argument("--cell-seconds", type=float, default=30.0, metavar="S", help="for running a cell (default 30)")
    mark.add_argument("--seed", type=int, default=1, metavar="N", help="of the random inputs (default 1)")

    _cost(command("cost", commands.cost, "Count what a clip costs, from pixels and tokens to seconds and money."))
    _drill(command("drill", _ask, "Ask questions as an interviewer does; what you know is remembered."))
    return top


def _mark(options) -> None:
    from minit2v.exercises import grade

    grade.command(options)


def _cost(sub) -> None:
    """All numbers stay words here: `minit2v.cost` reads them, exact and of any size."""

    def group(title, **flags):
        part = sub.add_argument_group(title)
        for name, (metavar, about) in flags.items():
            part.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=about)

    group(
        "the clip",
        seconds=("S", "length (default 4)"),
        frames=("N", "length in frames, in place of seconds"),
        fps=("F", "frames a second (default 16)"),
        height=("H", "pixels (default 512)"),
        width=("W", "pixels (default 512)"),
        vae=("T,H,W", "frames, rows and columns per latent (default 1,8,8)"),
        channels=("C", "of the latents (default 4)"),
    )
    group(
        "the transformer",
        patch=("T,H,W", "latents per token (default 1,1,1)"),
        layers=("L", "default 1"),
        dim=("D", "channels of a token (default 512)"),
        heads=("H", "default 8"),
        mlp_ratio=("R", "default 4"),
        text_tokens=("N", "default 16"),
        text_dim=("D", "channels of the text (default: as the tokens)"),
        attention=("KIND", "full (default), factorised, spatial, temporal or windowed"),
        window=("N", "with windowed: latent frames that a token looks away"),
    )
    group(
        "sampling and machine",
        steps=("N", "denoising steps (default 30)"),
        guidance=("G", "1 is none (default); others double the passes"),
        batch=("B", "clips at once (default 1)"),
        dtype=("T", "fp32, bf16 (default), fp16 or fp8"),
        device=("NAME", "laptop, rtx-4090, a100, h100 (default), h200 or b200"),
        devices=("N", "that share each pass (default 1)"),
        device_flops=("F", "FLOP/s, such as 1e14, in place of the device's"),
        bandwidth=("B", "bytes per second, in place of the device's"),
        price=("P", "dollars per hour, in place of the device's"),
        utilization=("U", "share of the FLOP/s that is reached (default 0.4)"),
    )
    other = sub.add_argument_group("published models, and comparisons")
    other.add_argument("--model", action="append", metavar="NAME", help="a published model; again: side by side")
    other.add_argument("--models", action="store_true", help="list the published models")
    other.add_argument("--against", metavar="FLAGS", help="compare with the same but for FLAGS, quoted")


def _ask(options) -> None:
    from minit2v.drills.terminal import drill

    drill(options)


def _drill(sub) -> None:
    sub.add_argument("--topic", metavar="T", help="a lesson's number or name, such as 07 or attention (default: all)")
    sub.add_argument("--kind", metavar="K", help="recall, number, shape, breaks, bug, spoken or design (default: all)")
    sub.add_argument("--difficulty", metavar="D", help="easy, medium or hard (default: all)")
    sub.add_argument("--n", type=int, metavar="N", help="how many questions (default 10)")
    sub.add_argument("--timer", type=float, metavar="S", help="seconds for each; a later answer comes again sooner")
    sub.add_argument("--seed", type=int, metavar="S", help="the same questions and figures again")
    sub.add_argument("--mock", action="store_true", help="a mock interview of 30 minutes, with a score sheet")
    sub.add_argument("--list", action="store_true", help="how many cards there are, by topic and kind")
    sub.add_argument("--memory", metavar="FILE", help="what you know; default: a small file in your data folder")
    sub.add_argument("--anki", metavar="FILE.apkg", help="write the cards as a deck for Anki instead")


def _system(sub) -> None:
    sub.add_argument("--system", default="sora", metavar="S", help="its name, weights or run's folder (default sora)")
    sub.add_argument("--vae", metavar="V", help="another VAE's weights or run's folder")
    sub.add_argument("--steps", type=int, metavar="N", help="denoising steps; default: the recipe's")
    sub.add_argument("--guidance", type=float, metavar="G", help="1 is none; default: the recipe's")


def _outputs(sub) -> None:
    sub.add_argument(
        "--out", action="append", metavar="FILE", help=".mp4, .gif, .png (contact sheet) or .npz; may be given again"
    )


def _world(sub) -> None:
    sub.add_argument("--world", metavar="W", help="standard (64 px) or nano (32 px)")


if __name__ == "__main__":
    sys.exit(main())
