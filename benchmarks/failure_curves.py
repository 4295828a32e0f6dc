"""The curves of lesson 11's sliders: the trials of `claims.py`, in one small file that travels with the package.

    python benchmarks/failure_curves.py [--n 64] [--seeds 1] [--claims mixing guidance] [--system sora]

Writes minit2v/lab/assets/claims.json, each claim beside the command that made its curve; claims that are not named
stay as they are. Knobs, settings, effects and bands are those of claims.py.
"""

import argparse
import json
from pathlib import Path

import claims

from minit2v import lab
from minit2v.pipeline import TextToVideo

STORED = Path(lab.__file__).parent / "assets" / "claims.json"


def curve(key: str, system: TextToVideo, n: int, seeds: int, tell=print) -> dict:
    """One claim's trial, and the words that its slider needs."""
    claim = claims.CLAIMS[key]
    command = f"python benchmarks/failure_curves.py --n {n} --seeds {seeds} --claims {key} --system {system.name}"
    about = dict(title=claim.title, knob=claim.knob, figure=claim.effect, sign=claim.sign, default=claim.default)
    found = claims.tried(claim, system, n, seeds, 0, claim.settings, tell)
    return {"command": command, "system": system.name, "n": n, "seeds": seeds, **about, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=64, help="prompts")
    parser.add_argument("--seeds", type=int, default=1, help="clips of each prompt")
    parser.add_argument("--claims", nargs="+", choices=claims.CLAIMS, default=list(claims.CLAIMS))
    parser.add_argument("--system", default="sora")
    parser.add_argument("--out", type=Path, default=STORED)
    options = parser.parse_args()
    stored = json.loads(options.out.read_text(encoding="utf-8")) if options.out.is_file() else {}
    system = TextToVideo.from_pretrained(options.system)
    for key in options.claims:
        stored[key] = curve(key, system, options.n, options.seeds)
        kept = {key: stored[key] for key in claims.CLAIMS if key in stored}
        options.out.write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
