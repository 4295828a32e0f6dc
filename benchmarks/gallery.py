"""The picture at the top of the README: held-out prompts, unselected, with the oracle's verdict.

    python benchmarks/gallery.py [--system sora] [--n 24] [--out docs/pictures/held_out.png]
"""

import argparse
from pathlib import Path

from minit2v.clip import contact_sheet
from minit2v.evaluation import draw_prompts, generate_all
from minit2v.pipeline import TextToVideo


def write_sheet(clips, path: str | Path, columns: int = 3) -> None:
    """A contact sheet of clips as a small png: five moments of each, and the oracle's verdict."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(clips, columns=columns, moments=5).quantize(256, kmeans=2).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", default="sora")
    parser.add_argument("--n", type=int, default=24)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", default="docs/pictures/held_out.png")
    options = parser.parse_args()
    system = TextToVideo.from_pretrained(options.system)
    clips = generate_all(system, draw_prompts(options.n, "held-out", system.world, options.seed), options.seed)
    write_sheet(clips, options.out)
    right = sum(all(clip.matches.values()) for clip in clips)
    print(f"{options.out}: {right} of {len(clips)} clips show all that their prompts ask for")


if __name__ == "__main__":
    main()
