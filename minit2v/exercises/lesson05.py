"""Lesson 05, text and guidance: words to ids, a mean without padding, tokens that ask words, prompts that are "
"dropped."""

import math
import random

import torch

from minit2v.exercises.judging import Wrong, compare, mixture, near, pair, tensor
from minit2v.exercises.registry import task

# ---- words to ids ------------------------------------------------------------------------------------------------

WORDS = ("a", "ball", "blue", "box", "dog", "left", "moves", "red", "right", "small", "star", "up")


@task(
    "05.1", "encode(texts, names)", "From words to ids", difficulty=2, importance=4, minutes=15,
    hints=(
        "Write down by hand what becomes of a batch of two prompts, one short and one long: two rows of numbers that "
        "are equally long. What fills the end of the short one, and how will anybody know that it is no word?",
        "The id of a word is its place in `names`. Every row: the id of <start>, those of its words, then that of "
        "<pad> up to the longest row. The mask is True for everything that is no padding, <start> included. And a word "
        "that is not in `names` must not pass: raise a ValueError that says which.",
        "`ids = {name: i for i, name in enumerate(names)}`, `rows = [[ids['<start>'], *(ids[word] for word in "
        "text.lower().split())] for text in texts]`, `n = max(map(len, rows))`, and `row + [ids['<pad>']] * (n - "
        "len(row))` for each.",
    ),
)
def encode(learner):
    rng = random.Random(learner.whole(0, 10**9))
    words = rng.sample(WORDS, len(WORDS))
    names = ["<pad>", "<start>", *words, "<spare0>", "<spare1>"]
    for lengths in ((2, 5, 3), (4,), (1, 1), (6, 2)):
        texts = [" ".join(rng.choices(words, k=n)) for n in lengths]
        _check_rows(learner, texts, names, texts)
    texts = ["a small red ball", "a dog"]
    _check_rows(learner, [text.title() for text in texts], names, texts)
    _check_stranger(learner, names)
    return "Start, words, padding; the mask tells words from padding; and a word that nobody knows is refused."


def _check_rows(learner, texts, names, plain):
    ids, mask = pair(learner(texts, names), ("ids", "mask"))
    for value, what in ((ids, "ids"), (mask, "mask")):
        if not isinstance(value, torch.Tensor) or value.dim() != 2:
            raise Wrong(f"The {what} must be a tensor (b, n), one row for each text.")
    if ids.dtype not in (torch.int64, torch.int32):
        raise Wrong(f"The ids are {ids.dtype}. They are places in a table: whole numbers (torch.long).")
    due = [["<start>", *text.split()] for text in plain]
    longest = max(map(len, due))
    if len(ids) != len(texts):
        raise Wrong(f"For {len(texts)} texts there are {len(ids)} rows.")
    told = f"Of {texts[0]!r} your ids are {_named(ids[0], names)}"
    _check_words(ids, due, names, told)
    if ids.shape[1] != longest:
        raise Wrong(f"{told}: rows of {ids.shape[1]}, and the longest text of this batch has {longest}, <start> "
                    "included. Pad up to that, no further.")
    if mask.shape != ids.shape:
        raise Wrong(f"The mask has the shape {tuple(mask.shape)}, the ids {tuple(ids.shape)}: they belong together.")
    if mask.dtype != torch.bool:
        raise Wrong(f"The mask is {mask.dtype}; True and False (torch.bool) are asked for.")
    real = torch.arange(longest) < torch.tensor([len(row) for row in due])[:, None]
    if torch.equal(mask, ~real) and not real.all():
        raise Wrong("The mask is upside down: True is for real tokens, False for padding.")
    if mask.all() and not real.all():
        raise Wrong("The mask is True everywhere: padding would be read as words.")
    if torch.equal(mask[:, 1:], real[:, 1:]) and not mask[:, 0].any():
        raise Wrong("The mask is False for <start>. It is a real token: without it, an empty prompt would leave "
                    "nothing to look at.")
    if not torch.equal(mask, real):
        raise Wrong(f"The mask of {texts[0]!r} is {mask[0].tolist()}, and {real[0].tolist()} is due: True for <start> "
                    "and all words of the text, False behind them.")


def _named(row, names):
    """A row of ids as the names that they stand for."""
    said = [names[i] if 0 <= i < len(names) else f"{i} (nobody)" for i in row.tolist()]
    return "“" + " ".join(said[:12]) + " …" * (len(said) > 12) + "”"


def _check_words(ids, due, names, told):
    """What stands in each row, padding apart."""
    for row, wanted in zip(ids.tolist(), due, strict=True):
        wanted = [names.index(name) for name in wanted]
        kept = [i for i in row if i != 0]
        if row[: len(wanted)] == wanted and not any(row[len(wanted) :]):
            continue
        if kept == wanted:
            raise Wrong(f"{told}: the padding stands in the wrong place. It belongs behind the words.")
        if kept == wanted[1:]:
            raise Wrong(f"{told}: <start> is missing. Every row begins with it.")
        if row[: len(wanted)] == wanted:
            raise Wrong(f"{told}: what fills the end of a row must be <pad>, id 0.")
        if kept[: len(wanted) - 1] == wanted[: len(kept)] or kept == wanted[: len(kept)]:
            raise Wrong(f"{told}: words are cut off. Pad up to the longest text, and cut none.")
        for step in (-2, -1, 1, 2):
            for part, name in ((wanted, "ids"), (wanted[1:], "words' ids")):
                if [i + step for i in part] == row[len(wanted) - len(part) :][: len(part)]:
                    side = "small" if step < 0 else "large"
                    raise Wrong(f"{told}: all {name} are {abs(step)} too {side}. An id is the place in the whole list "
                                "of names, which begins with <pad> and <start>.")
        if sorted(kept) == sorted(wanted):
            raise Wrong(f"{told}: the right words in the wrong order. Words must stand as they were said.")
        if set(kept) <= set(wanted) and len(kept) < len(wanted):
            raise Wrong(f"{told}: words are missing. A word that is said twice, or with a capital, counts as well.")
        raise Wrong(f"{told}, and {_named(torch.tensor(wanted), names)} is due, then padding.")


def _check_stranger(learner, names):
    for stranger in ("glorp", "zeppelin"):
        told = learner.ask((["a red ball", f"a {stranger} ball"], names))
        if "raised" not in told:
            raise Wrong(f"The word {stranger!r} is not in the list, and your function lets it pass: the model would be "
                        "told something else than what was asked, and nobody would know. Raise a ValueError that "
                        "names it.")
        if told["raised"] == "NotImplementedError":
            continue
        if stranger not in told["message"]:
            raise Wrong(f"For the unknown word {stranger!r} you raise {told['raised']}: {told['message'][:60]!r}, "
                        "which does not say which word it was. Name it.")


# ---- a mean without padding --------------------------------------------------------------------------------------


@task(
    "05.2", "pool(tokens, mask)", "Sum a prompt up", difficulty=2, importance=4, minutes=10,
    hints=(
        "A short prompt in a long batch has more padding than words. Whatever stands there, the summary must be the "
        "one that the prompt would have alone.",
        "Padding must neither be added up nor counted. So two things need the mask: the sum, and what you divide by.",
        "`weight = mask[..., None].to(tokens)`, then `(tokens * weight).sum(1) / weight.sum(1)`.",
    ),
)
def pool(learner):
    b, n, d = 3, 5, 7
    mask = torch.arange(n) < torch.tensor([3, 4, 1])[:, None]
    x = learner.draw(b, n, d)
    y = tensor(learner(x, mask), (b, d), "bd")
    if not near(tensor(learner(-x, mask), (b, d), "bd"), -y):
        raise Wrong("With all signs turned around, a mean turns its sign, and yours does not: is it a maximum, or "
                    "something else that is no mean?")
    if not near(tensor(learner(2 * x, mask), (b, d), "bd"), 2 * y):
        raise Wrong("Tokens twice as long give a summary that is not twice as long: something is normalized. The plain "
                    "mean is asked for.")
    other = x.clone()
    other[1] += 1.0
    if not near(tensor(learner(other, mask), (b, d), "bd")[0], y[0]):
        raise Wrong("The summary of one prompt moves with the words of another: prompts of a batch must not mix. Take "
                    "the mean over the axis of the tokens, 1.")
    weights = _weights_of(learner, mask, d)
    real, count = mask.double(), mask.sum(1, keepdim=True)
    due = real / count
    told = f"In a prompt of 3 words and 2 paddings, your weights are {_few(weights[0])}"
    if weights[mask].abs().max() < 1e-6 < weights[~mask].abs().max():
        raise Wrong(f"{told}: the mask is upside down. True is a real token.")
    if weights[0, 3:].abs().max() > 1e-4:
        raise Wrong(f"{told}: padding counts. What stands there must not matter.")
    if near(weights, real, 1e-3):
        raise Wrong(f"{told}: they are added up, so that a long prompt has a longer vector. Take the mean.")
    if near(weights, real / n, 1e-3):
        raise Wrong(f"{told}: padding is not added, but it is counted. Divide by the number of real tokens, 3.")
    if near(weights, real / real.sum(), 1e-3) or near(weights, real / count.double().mean(), 1e-3):
        raise Wrong(f"{told}: you divide by a number of words of the whole batch. Each prompt has its own.")
    if near(weights, real / count[:1], 1e-3):
        raise Wrong(f"{told}, but all prompts are divided by the count of the first.")
    if near(weights, real / (count + 1), 1e-3) or near(weights, real / (count - 1).clamp(min=1), 1e-3):
        raise Wrong(f"{told}: the count is off by one. <start> is a real token, too.")
    lone = weights > 1e-4
    if (lone.sum(1) == 1).all():
        raise Wrong(f"{told}: one token speaks for all. The mean over all real tokens is asked for.")
    if (weights[mask] < 1e-6).any():
        raise Wrong(f"{told}: some real tokens get nothing. All of them count, <start> and the last one, too.")
    if not near(weights, due, 1e-3):
        raise Wrong(f"{told}, and {_few(due[0])} are due: all real tokens alike.")
    compare(y, torch.einsum("bn,bnd->bd", due, x.double()), "bd")
    full = learner.draw(2, 4, 3)
    compare(learner(full, torch.ones(2, 4).bool()), full.mean(dim=1), "bd", "result for prompts without padding")
    return "The summary of a prompt is the same alone and beside a long one."


def _weights_of(learner, mask, d):
    """Token j holds a 1 in channel j alone: so the result tells how much each token counts, (b, n)."""
    b, n = mask.shape
    tokens = torch.zeros(b, n, d)
    tokens[:, torch.arange(n), torch.arange(n)] = 1.0
    return tensor(learner(tokens, mask), (b, d), "bd")[:, :n]


def _few(numbers):
    return ", ".join(f"{float(x):.3g}" for x in numbers)


# ---- tokens ask words --------------------------------------------------------------------------------------------


def plug_cross_attention(fn):
    """In every block, the clip's tokens ask the words by the learner's function: heads count as clips."""
    from einops import rearrange

    from minit2v import attention

    def forward(self, x, context, mask=None):
        q = attention.split_heads(self.q(x), self.heads)  # (b, h, n, d)
        k, v = rearrange(self.kv(context), "b m (s h d) -> s b h m d", s=2, h=self.heads)
        known = torch.ones(context.shape[:2], dtype=torch.bool) if mask is None else mask  # (b, m)
        q, k = self.norm_q(q), self.norm_k(k)
        y = fn(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), known.repeat_interleave(self.heads, 0))
        return self.out(attention.merge_heads(y.unflatten(0, (-1, self.heads))))

    return [(attention.CrossAttention, "forward", forward)]


@task(
    "05.3", "cross_attention(queries, keys, values, mask)", "Every token asks the words", difficulty=4, importance=5,
    minutes=20,
    hints=(
        "Queries come from the clip, keys and values from the words. How well does each query fit each key, and what "
        "becomes of fits that nobody may look at, before they are turned into shares?",
        "softmax(Q Kᵀ / √d) V: the softmax goes along the words, d is the number of channels of a key. Padding must "
        "get exactly no share, and the others must still add up to 1: so its scores become −∞ *before* the softmax.",
        "`scores = queries @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5`, `scores.masked_fill(~mask[:, None], "
        "-math.inf).softmax(dim=-1) @ values`.",
    ),
    plug=plug_cross_attention,
)
def cross_attention(learner):
    for lengths, (b, q, n, d) in (((3, 4, 2), (3, 4, 5, 8)), ((5, 1, 4), (3, 5, 5, 6))):
        mask = torch.arange(n) < torch.tensor(lengths)[:, None]
        queries, keys, values = 1.5 * learner.draw(b, q, d), learner.draw(b, n, d), learner.draw(b, n, d)
        raw = queries.double() @ keys.double().transpose(1, 2)
        due = (raw / d**0.5).masked_fill(~mask[:, None], -math.inf).softmax(dim=-1)
        y = tensor(learner(queries, keys, values, mask), queries.shape, "bnd")
        if near(y, due @ keys.double(), 1e-3):
            raise Wrong("The shares are right, and it is the keys that are mixed. Keys are for finding; mix the "
                        "values.")
        if near(y, due @ values.double() + queries.double(), 1e-3):
            raise Wrong("The queries are added to the result. That is the block's business; return what attention "
                        "says.")
        eye = torch.zeros(b, n, d)
        eye[:, torch.arange(n), torch.arange(n)] = 1.0
        weights = tensor(learner(queries, keys, eye, mask), queries.shape, "bnd")[..., :n]  # (b, q, n): words' shares
        if not near(weights, due, 1e-3):
            _check_mask(weights, raw, mask, d)
            _check_scores(weights, raw, mask, d)
            raise Wrong("The shares of the words are not softmax(Q Kᵀ / √d), of real words alone.")
        compare(y, due @ values.double(), "bnd")
    return "Every query mixes the values of real words by how well their keys fit; padding gets nothing."


def _check_mask(weights, raw, mask, d):
    """Do the shares add up, and who gets any?"""
    sums, across = weights.sum(dim=-1), weights.sum(dim=1)
    hidden = ~mask[:, None].expand_as(weights)
    told = f"The first query gives the words of its prompt (3, and 2 of padding) the shares {_few(weights[0, 0])}"
    if near(across, torch.ones_like(across), 1e-3) and not near(sums, torch.ones_like(sums), 1e-3):
        raise Wrong(f"{told}: they do not add up to 1, but those of one word over all queries do. The softmax goes "
                    "along the wrong axis: it belongs on that of the words.")
    if weights.min() < -1e-6:
        raise Wrong(f"{told}: shares cannot be negative. Where is the softmax?")
    part = (weights * ~hidden).sum(dim=1)[:, 0]
    if weights[hidden].abs().max() < 1e-6 and not near(sums, torch.ones_like(sums), 1e-3):
        if near(part, torch.ones_like(part), 1e-3):
            raise Wrong(f"{told}: the softmax goes along the wrong axis: it belongs on that of the words.")
        raise Wrong(f"{told}: padding gets nothing, but the others add up to {float(sums[0, 0]):.3g}. You mask after "
                    "the softmax; mask the scores before, by −∞.")
    if not near(sums, torch.ones_like(sums), 1e-3):
        raise Wrong(f"{told}: they add up to {float(sums[0, 0]):.3g}, and the shares of a softmax add up to 1. Over "
                    "which axis does it go, and is anything multiplied afterwards?")
    short = mask.sum(1) < mask.shape[1]
    if weights[short][hidden[short]].sum() > 0.99 * weights[short].sum():
        raise Wrong(f"{told}: the mask is upside down. True is a real token.")
    looked = (weights > 1e-9).all(dim=1)  # (b, n)
    for i in range(len(mask)):
        if torch.equal(looked, mask[i].expand_as(mask)) and not torch.equal(looked, mask):
            raise Wrong(f"All prompts of the batch get the mask of prompt {i}. Each has its own.")
    if weights[hidden].abs().max() < 1e-6:
        return
    # By what score would a softmax with the right scale have given padding its share? If it is one for all queries:
    logs, real = weights[1].clamp(min=1e-30).log(), mask[1]
    level = logs[:, ~real][:, 0] - (logs - raw[1] / d**0.5)[:, real].mean(dim=1)
    if float(level.std()) < 1e-2 and abs(float(level.mean())) < 30:
        score = float(level.mean())
        power = "0, and e⁰ is 1" if abs(score) < 1e-2 else f"{score:.3g}, not less"
        raise Wrong(f"{told}: padding still gets some, for its scores are {power}. They have to be −∞ before the "
                    "softmax.")
    if weights[hidden].abs().max() < 0.05:
        raise Wrong(f"{told}: padding gets a little. Its scores have to be −∞ before the softmax, not just small.")
    raise Wrong(f"{told}: padding gets its share, as if it were words. The mask has no effect.")


def _check_scores(weights, raw, mask, d):
    """By which factor do the scores go into the shares?"""
    real = mask[1].nonzero().flatten()
    factor = _spread(weights[1:2, :, real], raw[1:2, :, real])
    order = [x[1:2, :, real].argsort(dim=-1) for x in (weights, raw)]
    if factor is None and torch.equal(*order):
        raise Wrong("The better a key fits, the larger its share, as it should be; but the shares are not those of a "
                    "softmax: e to the power of each score, over the sum of these.")
    if factor is None:
        raise Wrong("Padding gets nothing, but the shares of the words do not follow from how well queries and keys "
                    "fit, q · k.")
    told = f"The scores are multiplied by {factor:.3g} before the softmax, and 1 / √d is due, {d**-0.5:.3g} here"
    for found, words in (
        (1.0, "the scale is missing"), (1 / d, "divide by the root of d, not by d"), (d**0.5, "divide, do not "
                                                                                              "multiply"),
        (-(d**-0.5), "the sign is wrong: what fits best must get the largest share"),
        (weights.shape[-1] ** -0.5, "d is the number of channels of a key, not that of the words"),
    ):
        if abs(factor - found) < 1e-3:
            raise Wrong(f"{told}: {words}.")
    raise Wrong(f"{told}.")


def _spread(weights, scores):
    """The factor by which shares (b, q, n) are a softmax of the scores; None if they are none."""
    if weights.min() < 1e-12:
        return None
    logs = weights.log()
    logs, centered = (x - x.mean(dim=-1, keepdim=True) for x in (logs, scores))
    shares = mixture(logs, {"scores": centered})
    return None if shares is None else float(shares["scores"])


# ---- dropping ----------------------------------------------------------------------------------------------------


@task(
    "05.4", "drop(tokens, mask, null, keep)", "The letter that is not sent", difficulty=3, importance=4, minutes=15,
    hints=(
        "A sample whose prompt is dropped has another prompt: the null prompt, which is one learned token long. What "
        "do its tokens and its mask look like, in a batch whose rows are n long?",
        "Its first token is `null`; whatever stands behind it is padding, so its mask is True at the first place "
        "alone. The other samples stay as they are. `keep` is one answer for each sample, not for the batch.",
        "`first = torch.arange(n) == 0`; `torch.where(keep[:, None, None], tokens, null * first[:, None])` and "
        "`torch.where(keep[:, None], mask, first)`.",
    ),
)
def drop(learner):
    lengths = torch.tensor([4, 2, 5, 3])
    for kept in ((True, False, True, False), (False, True, True, True), (False, False, False, False), (True,) * 4):
        b, n, d = 4, 5, 6
        tokens, null, keep = learner.draw(b, n, d), learner.draw(d), torch.tensor(kept)
        mask = torch.arange(n) < lengths[:, None]
        tokens = tokens * mask[..., None]
        y, seen = pair(learner(tokens, mask, null, keep), ("tokens", "mask"))
        y = tensor(y, tokens.shape, "bnd", "tokens")
        if not isinstance(seen, torch.Tensor) or seen.shape != mask.shape or seen.dtype != torch.bool:
            raise Wrong(f"The mask must be a tensor of True and False, {tuple(mask.shape)}.")
        _check_dropped(y.float(), seen, tokens, mask, null, keep)
    return "Whose prompt is dropped has the null prompt, one token long, with nothing of the old one left to see."


def _check_dropped(y, seen, tokens, mask, null, keep):
    """What a denoiser can see of each sample: the tokens where the mask is True."""
    whole = [bool(torch.equal(s, m)) and near(a[m], t[m]) for a, s, t, m in zip(y, seen, tokens, mask, strict=True)]
    gone = [bool(s[0]) and not s[1:].any() and near(a[0], null) for a, s in zip(y, seen, strict=True)]
    asked, mixed = keep.tolist(), bool(keep.any()) and not bool(keep.all())
    if mixed and all(w != k for w, k in zip(whole, asked, strict=True)) and any(gone):
        raise Wrong("keep is read the wrong way round: True means that the prompt stays.")
    if mixed and all(gone):
        raise Wrong("One prompt is to be dropped, and you drop those of the whole batch. keep has one answer for each "
                    "sample.")
    if not keep.all() and all(whole):
        raise Wrong("A sample with keep False comes out with its prompt as it was: nothing is dropped. Is `keep` used "
                    "for each sample by itself?")
    for i, stays in enumerate(asked):
        if stays and not whole[i]:
            part = "mask" if near(y[i][mask[i]], tokens[i][mask[i]]) else "tokens"
            raise Wrong(f"Sample {i} is kept, and its {part} changed: only samples with keep False may be touched.")
        if not stays and not gone[i]:
            raise Wrong(_half_gone(i, y[i], seen[i], tokens[i], mask[i], null))


def _half_gone(i, y, seen, tokens, mask, null):
    told = f"Sample {i} is dropped, but"
    if not seen.any():
        return (f"{told} its mask is False everywhere: there is nothing left to look at, and a softmax over nothing is "
                "NaN. The null prompt is one token, and it is real.")
    if torch.equal(seen, mask) and near(y[seen], null.expand(int(seen.sum()), -1)):
        return (f"{told} the null token stands at each of the {int(mask.sum())} places of the old prompt: its length "
                "still tells what was there. The null prompt is one token long.")
    if near(y[seen], torch.zeros_like(y[seen])):
        return f"{told} its tokens are 0. No words is not nothing: in their place stands `null`, which is learned."
    if torch.equal(seen, mask):
        words = near(y[1:][mask[1:]], tokens[1:][mask[1:]])
        rest = "the old words behind it" if words else "what stands behind it"
        if near(y[0], tokens[0]) and words:
            return f"{told} its tokens and mask are those of the prompt."
        return (f"{told} its mask is the old one, and so {rest} can still be seen. Of the null prompt, the first place "
                "alone is real.")
    if seen.all() or int(seen.sum()) > 1:
        return (f"{told} {int(seen.sum())} places of its mask are True. The null prompt is one token long: the first "
                "place alone is real.")
    if not seen[0]:
        return f"{told} its one real token does not stand at the first place."
    if near(y[0], tokens[0]):
        return f"{told} its first token is still that of the prompt; `null` is due there."
    shares = mixture(y[0], {"null": null, "old": tokens[0]})
    if shares is not None:
        return (f"{told} its token is {float(shares['null']):.3g} times null and {float(shares['old']):.3g} times the "
                "old one: replace it, do not add.")
    return f"{told} its first token is not `null`."
