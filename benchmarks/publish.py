"""Puts a run's weights among the committed checkpoints, with their card.

    python benchmarks/publish.py --run runs/sora --name sora --command "minit2v train …" --scores scores.json

The scores are what `minit2v evaluate --json` or `benchmarks/vae_gate.py` printed. `--weights` takes another file than
the run's own, for instance a VAE whose latents were calibrated after the run.
"""

import argparse
import json
import shutil
from pathlib import Path

from minit2v.checkpoints import FOLDER, load_weights
from minit2v.checkpoints.cards import write_card

KEPT = ("adherence", "flicker", "identity_drift", "motion", "physics", "camera", "permanence", "held")


def scores_of(path: str | None) -> dict:
    """The figures for the card: for a system the headlines and controls, for a VAE all that the gate printed."""
    figures = json.loads(Path(path).read_text()) if path else {}
    if "adherence" not in figures:
        return {name: value for name, value in figures.items() if name not in ("vae", "seconds")}
    return {name: without_parts(figures[name]) for name in KEPT if name in figures}


def without_parts(section: dict) -> dict:
    return {name: value for name, value in section.items() if name not in ("parts", "motion", "kinds")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--weights")
    parser.add_argument("--command", default="")
    parser.add_argument("--about", default="")
    parser.add_argument("--scores")
    options = parser.parse_args()
    source = Path(options.weights or Path(options.run) / "weights.safetensors")
    target = FOLDER / f"{options.name}.safetensors"
    load_weights(source)  # whole, and no pickle
    shutil.copyfile(source, target)
    facts = write_card(target, options.run, options.command, scores_of(options.scores), options.about)
    print(f"{target.name}: {facts['parameters']:,} parameters, {facts['bytes'] / 1e6:.1f} MB, {facts['sha256'][:12]}")


if __name__ == "__main__":
    main()
