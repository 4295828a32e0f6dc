"""09.3, attention along time, with a table of distances."""

import torch

from minit2v.exercises.judging import Wrong, compare, near, tensor
from minit2v.exercises.lesson09_convolution import count, listed
from minit2v.exercises.registry import task


@task(
    "09.3", "temporal_attention(q, k, v, table)", "Attention along time that knows how far apart", difficulty=4,
    importance=4, minutes=25,
    hints=(
        "Every place of the picture has a sequence of its own, as long as the clip has frames: fold batch, rows and "
        "columns together, and leave frames and channels alone. Then it is attention as always, plus one number.",
        "Scores are (…, f, f), query frame by key frame: q · k / √d, and then the table's entry for key frame minus "
        "query frame is added. Distance 0 stands in the table's middle; what is farther than the table reaches takes "
        "its outermost entry. The softmax runs over the keys.",
        "`far = len(table) // 2`, `t = torch.arange(f)`, `apart = (t[None, :] - t[:, None]).clamp(-far, far) + far`; "
        "scores = `q @ k.transpose(-1, -2) / d**0.5 + table[apart]`, with q, k and v as (b · h · w, f, d).",
    ),
)
def temporal_attention(learner):
    for (b, f, h, w, d), far in (((2, 5, 2, 3, 4), 2), ((1, 4, 3, 2, 6), 5), ((2, 3, 3, 3, 3), 1)):
        q, k, v = (learner.draw(b, f, h, w, d) for _ in range(3))
        table = learner.draw(2 * far + 1)
        y = tensor(learner(q, k, v, table), v.shape, "bfhwd")
        _check_place(learner, q, k, v, table, y)
        _check_effect(learner, q, k, table)
        _check_table(_weights(learner, 0 * q, 0 * k, table), table, far, d)
        _check_own(learner, q, k, 0 * table)
        _check_scores(_weights(learner, q, k, 0 * table), q, k)
        compare(y, _attended(q, k, v, table), "bfhwd")
    return "Every place looks along its own time, and what counts is how many frames lie between."


def _attended(q, k, v, table):
    weights = _mixed(q, k, table)
    return torch.einsum("bhwts,bshwd->bthwd", weights, v.double())


def _mixed(q, k, table):
    scores = torch.einsum("bthwd,bshwd->bhwts", q.double(), k.double()) / q.shape[-1] ** 0.5
    return (scores + _relative(table.double(), q.shape[1])).softmax(dim=-1)


def _relative(table, f, late=0):
    """The table's entries (query, key); late: by how much a distance is taken for a larger one."""
    far, t = len(table) // 2, torch.arange(f)
    return table[(t[None, :] - t[:, None] + late).clamp(-far, far) + far]  # (query, key)


def _weights(learner, q, k, table):
    """The weights of one place, (b, query, key): read off with values that are 1 in one frame and else 0."""
    b, f, h, w, d = q.shape
    found = []
    for frame in range(f):
        v = torch.zeros(b, f, h, w, d)
        v[:, frame] = 1.0
        found.append(tensor(learner(q, k, v, table), v.shape, "bfhwd")[:, :, h - 1, 0, 0])
    return torch.stack(found, dim=-1)


def _check_place(learner, q, k, v, table, before):
    """Disturbs the values of one place in one frame: all frames of that place must move, and nothing else."""
    b, f, h, _, _ = v.shape
    clip, frame, row, column = b - 1, 1, h - 1, 0
    changed = v.clone()
    changed[clip, frame, row, column] += 3.0
    after = tensor(learner(q, k, changed, table), v.shape, "bfhwd")
    moved = (after - before).abs().amax(dim=-1) > 1e-6  # (b, f, h, w)
    told = f"When the value at one place of frame {frame} is disturbed,"
    if moved[:clip].any():
        raise Wrong(f"{told} other clips of the batch hear of it: clips got mixed.")
    places = moved[clip].any(dim=0)
    if not places.any():
        raise Wrong(f"{told} nothing moves at all: the values have no effect.")
    if int(places.sum()) > 1 or not places[row, column]:
        frames = int(moved[clip].any(dim=2).any(dim=1).sum())
        if frames == 1:
            raise Wrong(f"{told} {count(int(places.sum()))} of that frame hear of it and no other frame does: that is "
                        "spatial attention. Along time, a sequence is one place in all frames.")
        raise Wrong(f"{told} {count(int(places.sum()))} hear of it, and only its own may: places and frames are mixed "
                    "up in the folding. Axes must be moved, not reshaped.")
    heard = moved[clip, :, row, column].nonzero().flatten().tolist()
    weights = _weights(learner, q, k, table) if len(heard) < f else None
    if weights is not None and near(weights, weights.round()) and near(weights.sum(2), torch.ones(b, f)):
        raise Wrong("Each query hears of a single frame, the one with the largest score. It hears of all of them, by a "
                    "softmax of the scores.")
    if len(heard) < f:
        raise Wrong(f"{told} only frames {listed(heard)} hear of it. All {f} frames look at all {f}: nothing is "
                    "masked here, neither the future nor what the table does not reach.")


def _check_effect(learner, q, k, table):
    """Whether the table is heard where all scores are 0, and where all are 1."""
    f, d = q.shape[1], q.shape[-1]
    silent = _weights(learner, 0 * q, 0 * k, table)
    if not near(silent, torch.full_like(silent, 1 / f)):
        return
    loud = _weights(learner, torch.ones_like(q) / d**0.5, torch.ones_like(k), table)
    if not near(loud, torch.full_like(loud, 1 / f)):
        raise Wrong("The table has no effect where the scores are 0, and has one where they are not: it is multiplied. "
                    "It has to be added to the scores.")
    raise Wrong("The table has no effect: with queries and keys of 0, all frames count the same.")


def _check_own(learner, q, k, table):
    """Disturbs the queries and keys of one place: the weights of another must stay."""
    before = _weights(learner, q, k, table)
    for name, other in (("queries", (q.clone(), k)), ("keys", (q, k.clone()))):
        other[name == "keys"][:, :, 0, -1] += 1.0
        if not near(_weights(learner, *other, table), before):
            raise Wrong(f"When the {name} of one place are disturbed, the weights of another move. Every place is a "
                        "sequence of its own, with weights of its own: only its channels are summed up in the scores.")


def _check_table(found, table, far, d):
    """With queries and keys of 0, the weights come from the table alone: found (b, query, key)."""
    f = found.shape[1]
    due = _relative(table.double(), f).softmax(dim=-1).expand_as(found)
    if near(found, due):
        return
    _check_sums(found)
    if f > 2 and near(found, found[:, :1].expand_as(found)):
        raise Wrong("All queries get the same number for a key: your table goes by the key's own frame. It goes by the "
                    "distance, key frame minus query frame.")
    if _unsigned(found[0]):
        raise Wrong("The distance is taken without its sign: one frame earlier and one frame later have entries of "
                    "their own.")
    for other, told in (
        (table.flip(0), "The distance has the wrong sign: the table's last entries are for keys that come *later* than "
                        "the query, and with you they are for earlier ones. It is key frame minus query frame."),
        (table / d**0.5, "The table is divided by √d together with the scores. It is added afterwards, as it is."),
        (table * d**0.5, "The table is multiplied by √d. It is added to the scaled scores as it is."),
        (-table, "The table is subtracted. It is added to the scores."),
        (torch.cat([table[1:2], table[1:-1], table[-2:-1]]), "The table's outermost entries are never used: distances "
                                                             "are cut off one too early. It reaches to len(table) // "
                                                             "2 on either side."),
        (table.exp(), "The table goes through an exponential before it is added. It is added to the scores as it is."),
        (table.softmax(0), "The table goes through a softmax of its own. It is added to the scores as it is."),
        (table.roll(1), "The table is read one entry off: distance 0 stands in its middle."),
        (table.roll(-1), "The table is read one entry off: distance 0 stands in its middle."),
    ):
        if near(found, _relative(other.double(), f).softmax(dim=-1).expand_as(found)):
            raise Wrong(told)
    for late in (1, -1):
        if near(found, _relative(table.double(), f, late).softmax(dim=-1).expand_as(found)):
            raise Wrong(f"The table is read one entry off: a key at distance 0 gets the entry of distance {late}. "
                        "Distance 0 stands in its middle, at len(table) // 2.")
    if _right_within(found[0], due[0], far):
        raise Wrong("As far as the table reaches all is right, and farther away it is not: such frames take its "
                    "outermost entry. (An index below 0 raises no error: it counts from the other end.)")
    raise Wrong("The weights do not follow from the table: entry i is for keys that come i − len(table) // 2 frames "
                "after the query.")


def _unsigned(found):
    """Whether a frame as far before as another is behind always has the same weight: found (query, key)."""
    inner = [(i, i - n, i + n) for i in range(len(found)) for n in range(1, min(i, len(found) - 1 - i) + 1)]
    return all(near(found[i, before], found[i, behind], 1e-5) for i, before, behind in inner)


def _right_within(found, due, far):
    """Whether weights (query, key) are in the right relation to each other as far as the table reaches, not beyond."""
    t, ratio = torch.arange(len(due)), (found.clamp(min=1e-12) / due).log()
    reached = (t[None, :] - t[:, None]).abs() <= far
    same = [near(row[near_by], row[near_by].mean().expand(int(near_by.sum())))
            for row, near_by in zip(ratio, reached, strict=True)]  # fmt: skip
    return all(same) and not reached.all()


def _check_sums(found):
    rows, columns = found.sum(dim=2), found.sum(dim=1)
    if near(rows, torch.ones_like(rows)):
        return
    if near(columns, torch.ones_like(columns)):
        raise Wrong("The softmax runs over the queries: what one key gives to all queries sums to 1. What one query "
                    "takes from all keys has to.")
    if near(rows, torch.full_like(rows, 2.0)):
        raise Wrong("The weights of a query sum to 2 over the key frames: the values are added once more behind the "
                    "attention. That is not its business.")
    raise Wrong("The weights of a query do not sum to 1 over the key frames: is the softmax missing, or does something "
                "change the weights behind it?")


def _check_scores(found, q, k):
    """Without the table: found (b, query, key) of one place, against softmax(q · k / √d)."""
    _check_sums(found)
    at = (slice(None), slice(None), q.shape[2] - 1, 0)
    q, k = q.double()[at], k.double()[at]
    scores, d = q @ k.transpose(1, 2), q.shape[-1]
    if near(found, (scores / d**0.5).softmax(dim=-1)):
        return
    for other, told in (
        (scores, "The scores are not divided by √d: the wider a head, the sharper it would look."),
        (scores / d, "The scores are divided by d, and √d is due."),
        (scores * d**0.5, "The scores are multiplied by √d; they must be divided."),
        (scores.transpose(1, 2) / d**0.5, "Queries and keys are exchanged: row t of the scores belongs to the *query* "
                                          "of frame t."),
        (q @ q.transpose(1, 2) / d**0.5, "The queries ask themselves: the keys have no effect."),
        (k @ k.transpose(1, 2) / d**0.5, "The keys ask themselves: the queries have no effect."),
        (0 * scores, "Queries and keys have no effect: all frames count the same."),
    ):
        if near(found, other.softmax(dim=-1)):
            raise Wrong(told)
    if near(found, (scores / q.shape[1] ** 0.5).softmax(dim=-1)):
        raise Wrong("The scores are divided by the root of the number of frames; √d, of the channels, is due.")
    raise Wrong("Without the table, the weights must be softmax(q · k / √d) over the key frames of one place, and they "
                "are not.")
