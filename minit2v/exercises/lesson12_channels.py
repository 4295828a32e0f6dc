"""12.3, a picture beside every frame, and a mask."""

import torch

from minit2v.exercises.judging import Wrong, compare, near, tensor
from minit2v.exercises.registry import task


@task(
    "12.3", "condition(source, frames)", "The picture beside every frame, and a mask", difficulty=2, importance=4,
    minutes=10,
    hints=(
        "Every frame gets the same c channels, the source's latents. And one more channel: which number does it hold "
        "in the frame that the source shows, and which in all others?",
        "Repeat the source along a new axis behind the batch, and join a mask (b, f, 1, h, w) to it by the channels.",
        "`repeated = source[:, None].expand(-1, frames, -1, -1, -1)`; a mask of zeros like `repeated[:, :, :1]`, with "
        "1 at `[:, 0]`; `torch.cat([repeated, mask], dim=2)`.",
    ),
)
def condition(learner):
    for b, c, h, w, f in ((2, 3, 2, 4, 5), (3, 3, 3, 2, 3), (1, 4, 2, 2, 4)):
        source = learner.draw(b, c, h, w)
        y = learner(source, f)
        if isinstance(y, torch.Tensor) and y.shape == (b, f, c, h, w):
            raise Wrong("The mask is missing: there are only the source's channels, so that nobody knows which of the "
                        "frames the source is.")
        if isinstance(y, torch.Tensor) and y.shape == (b, f, 2 * c, h, w) and c > 1:
            raise Wrong(f"The mask has as many channels as the source, {c}. One is enough, and one is due: yes or no.")
        y = tensor(y, (b, f, c + 1, h, w), "bfchw")
        repeated = source.double()[:, None].expand(-1, f, -1, -1, -1)
        if near(y[:, :, 1:], repeated) and not near(y[:, :, :-1], repeated):
            raise Wrong("The mask stands before the source's channels. It is the last channel: a convolution has "
                        "weights for each place, and does not look for it.")
        _check_source(y[:, :, :-1], repeated)
        _check_mask(y[:, :, -1])
    return "All frames can look at the source, and the mask says which of them it is."


def _check_source(found, repeated):
    if near(found, repeated):
        return
    b, f = repeated.shape[:2]
    clips = [(i, j) for i in range(b) for j in range(b) if i != j]
    if any(near(found[i, k], repeated[j, 0]) for i, j in clips for k in range(f)):
        raise Wrong("The clips get each other's pictures: the batch was repeated where the frames should have been.")
    good = [k for k in range(f) if near(found[:, k], repeated[:, k])]
    empty = [k for k in range(f) if near(found[:, k], torch.zeros_like(found[:, k]))]
    if good == [0] and len(empty) == f - 1:
        raise Wrong("The source stands in frame 0 only, and the others get zeros: they would have nothing to look at. "
                    "Its latents are repeated in every frame; to say which frame it shows is the mask's business.")
    if good:
        raise Wrong(f"The source stands in frame {', '.join(map(str, good))} as it should, and not in the others.")
    compare(found, repeated, "bfchw", "source's channels")


def _check_mask(mask):
    due = torch.zeros_like(mask)
    due[:, 0] = 1
    if near(mask, due):
        return
    if near(mask, torch.ones_like(mask)):
        raise Wrong("The mask is 1 in every frame: each is said to be the source, and a network that learns from that "
                    "learns to stand still. Only frame 0 shows the source.")
    if near(mask, torch.zeros_like(mask)):
        raise Wrong("The mask is 0 everywhere: the network cannot tell which frame the source shows, or whether there "
                    "is a source at all.")
    if near(mask, 1 - due):
        raise Wrong("The mask is turned round: it is 0 where the source is shown, and 1 where it is not.")
    flat = mask.flatten(2)
    if not near(flat, flat[:, :, :1].expand_as(flat)):
        raise Wrong("The mask differs from place to place. The source shows the whole of frame 0, so it is 1 at all of "
                    "its places.")
    if not near(flat, flat[:1].expand_as(flat)):
        raise Wrong("The mask is not the same for all clips of the batch; in each of them the source is frame 0.")
    ones = (flat[0, :, 0] - 1).abs().lt(1e-4).nonzero().flatten().tolist()
    if ones and ones != [0]:
        raise Wrong(f"The mask is 1 in frame {', '.join(map(str, ones))}; the source is frame 0, counted from 0.")
    found = ", ".join(f"{float(value):.3g}" for value in flat[0, :, 0])
    raise Wrong(f"Frame by frame, the mask holds {found}; it says yes or no: 1 in frame 0, 0 in all others.")
