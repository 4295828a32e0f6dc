"""Answers to lesson 05, text and guidance."""

import math

import torch
import torch.nn.functional as F

from minit2v.exercises.bank import right, wrong

# ---- 05.1 encode(texts, names)


def as_batch(rows, pad=0):
    n = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (n - len(row)) for row in rows])
    return ids, torch.arange(n) < torch.tensor([len(row) for row in rows])[:, None]


def known(word, names):
    if word not in names:
        raise ValueError(f"unknown word {word}")
    return names.index(word)


@right("05.1")
def by_look_up(texts, names):
    return as_batch([[1, *(known(word, names) for word in text.lower().split())] for text in texts])


@right("05.1")
def filled_in(texts, names):
    table = {name: i for i, name in enumerate(names)}
    words = [["<start>", *text.lower().split(" ")] for text in texts]
    ids = torch.full((len(texts), max(len(row) for row in words)), table["<pad>"])
    for i, row in enumerate(words):
        for j, word in enumerate(row):
            ids[i, j] = table[word]  # an unknown word is a KeyError, which names it
    return ids, ids != table["<pad>"]


@wrong("05.1", "<start> is missing")
def no_start(texts, names):
    return as_batch([[known(word, names) for word in text.lower().split()] for text in texts])


@wrong("05.1", "behind the words")
def padded_in_front(texts, names):
    ids, mask = by_look_up(texts, names)
    rows = [torch.cat([row[~real], row[real]]) for row, real in zip(ids, mask, strict=True)]
    return torch.stack(rows), mask.flip(1)


@wrong("05.1", "upside down")
def mask_of_padding(texts, names):
    ids, mask = by_look_up(texts, names)
    return ids, ~mask


@wrong("05.1", "lets it pass")
def strangers_are_padding(texts, names):
    return as_batch([[1, *(names.index(w) if w in names else 0 for w in text.lower().split())] for text in texts])


@wrong("05.1", "lets it pass")
def strangers_are_left_out(texts, names):
    return as_batch([[1, *(names.index(w) for w in text.lower().split() if w in names)] for text in texts])


@wrong("05.1", "too small")
def counted_from_the_words(texts, names):
    words = [name for name in names if not name.startswith("<")]
    return as_batch([[1, *(words.index(word) if word in words else known(word, names) for word in text.lower().split())]
                     for text in texts])  # fmt: skip


@wrong("05.1", "cut off")
def cut_to_the_shortest(texts, names):
    ids, mask = by_look_up(texts, names)
    n = int(mask.sum(1).min())
    return ids[:, :n], mask[:, :n]


@wrong("05.1", "no further")
def always_48(texts, names):
    ids, mask = by_look_up(texts, names)
    more = 48 - ids.shape[1]
    return F.pad(ids, (0, more)), F.pad(mask, (0, more))


@wrong("05.1", "whole numbers")
def float_ids(texts, names):
    ids, mask = by_look_up(texts, names)
    return ids.float(), mask


@wrong("05.1", "does not say which word")
def a_mute_error(texts, names):
    if any(word not in names for text in texts for word in text.lower().split()):
        raise ValueError("unknown word")
    return by_look_up(texts, names)


# ---- 05.2 pool(tokens, mask)


@right("05.2")
def weighted_mean(tokens, mask):
    weight = mask[..., None].float()
    return (tokens * weight).sum(1) / weight.sum(1)


@right("05.2")
def prompt_by_prompt(tokens, mask):
    return torch.stack([row[real].mean(dim=0) for row, real in zip(tokens, mask, strict=True)])


@right("05.2")
def with_nanmean(tokens, mask):
    return tokens.masked_fill(~mask[..., None], float("nan")).nanmean(dim=1)


@wrong("05.2", "padding counts")
def plain_mean(tokens, mask):
    return tokens.mean(dim=1)


@wrong("05.2", "it is counted")
def divided_by_the_row(tokens, mask):
    return (tokens * mask[..., None]).mean(dim=1)


@wrong("05.2", "Take the mean")
def sum_of_words(tokens, mask):
    return (tokens * mask[..., None]).sum(dim=1)


@wrong("05.2", "upside down")
def mean_of_padding(tokens, mask):
    return weighted_mean(tokens, ~mask)


@wrong("05.2", "whole batch")
def count_of_the_batch(tokens, mask):
    return (tokens * mask[..., None]).sum(dim=1) / mask.sum()


@wrong("05.2", "one token speaks for all")
def the_last_word(tokens, mask):
    return tokens[torch.arange(len(tokens)), mask.sum(1) - 1]


@wrong("05.2", "maximum")
def largest(tokens, mask):
    return tokens.masked_fill(~mask[..., None], -1e9).amax(dim=1)


@wrong("05.2", "must not mix")
def over_the_batch(tokens, mask):
    return weighted_mean(tokens, mask).mean(dim=0, keepdim=True).expand(len(tokens), -1)


# ---- 05.3 cross_attention(queries, keys, values, mask)


@right("05.3")
def spelled_out(queries, keys, values, mask):
    scores = torch.einsum("bqd,bnd->bqn", queries, keys) / math.sqrt(keys.shape[-1])
    return scores.masked_fill(~mask[:, None], -math.inf).softmax(dim=-1) @ values


@right("05.3")
def fused(queries, keys, values, mask):
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask[:, None])


@right("05.3")
def renormalized(queries, keys, values, mask):
    scores = queries @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5
    weights = (scores - scores.amax(dim=-1, keepdim=True)).exp() * mask[:, None]
    return weights / weights.sum(dim=-1, keepdim=True) @ values


def shares(queries, keys, mask, scale=None):
    scores = queries @ keys.transpose(1, 2) * (keys.shape[-1] ** -0.5 if scale is None else scale)
    return scores.masked_fill(~mask[:, None], -math.inf).softmax(dim=-1)


@wrong("05.3", "scale is missing")
def unscaled(queries, keys, values, mask):
    return shares(queries, keys, mask, 1.0) @ values


@wrong("05.3", "not by d")
def over_d(queries, keys, values, mask):
    return shares(queries, keys, mask, 1 / keys.shape[-1]) @ values


@wrong("05.3", "mask has no effect")
def no_mask(queries, keys, values, mask):
    return shares(queries, keys, torch.ones_like(mask)) @ values


@wrong("05.3", "upside down")
def looks_at_padding(queries, keys, values, mask):
    return shares(queries, keys, ~mask) @ values


@wrong("05.3", "mask after the softmax")
def masked_afterwards(queries, keys, values, mask):
    return shares(queries, keys, torch.ones_like(mask)) * mask[:, None] @ values


@wrong("05.3", "scores are 0")
def scores_of_zero(queries, keys, values, mask):
    scores = queries @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5
    return (scores * mask[:, None]).softmax(dim=-1) @ values


@wrong("05.3", "wrong axis")
def along_the_queries(queries, keys, values, mask):
    scores = queries @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5
    return scores.softmax(dim=1) * mask[:, None] @ values


@wrong("05.3", "mask of prompt 0")
def first_prompts_mask(queries, keys, values, mask):
    return shares(queries, keys, mask[:1].expand_as(mask)) @ values


@wrong("05.3", "keys that are mixed")
def mixes_keys(queries, keys, values, mask):
    return shares(queries, keys, mask) @ keys


@wrong("05.3", "its scores are -1")
def minus_one(queries, keys, values, mask):
    scores = queries @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5
    return scores.masked_fill(~mask[:, None], -1.0).softmax(dim=-1) @ values


@wrong("05.3", "Where is the softmax")
def no_softmax(queries, keys, values, mask):
    return queries @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5 * mask[:, None] @ values


# ---- 05.4 drop(tokens, mask, null, keep)


@right("05.4")
def with_where(tokens, mask, null, keep):
    first = torch.arange(tokens.shape[1]) == 0
    dropped = null * first[:, None]
    return torch.where(keep[:, None, None], tokens, dropped), torch.where(keep[:, None], mask, first)


@right("05.4")
def sample_by_sample(tokens, mask, null, keep):
    tokens, mask = tokens.clone(), mask.clone()
    for i in range(len(keep)):
        if not keep[i]:
            tokens[i, 0] = null
            mask[i, 1:] = False
    return tokens, mask


@right("05.4")
def by_index(tokens, mask, null, keep):
    tokens, mask = tokens.clone(), mask.clone()
    tokens[~keep] = 0
    tokens[~keep, 0] = null
    mask[~keep] = torch.arange(mask.shape[1]) < 1
    return tokens, mask


@wrong("05.4", "wrong way round")
def drops_the_kept(tokens, mask, null, keep):
    return with_where(tokens, mask, null, ~keep)


@wrong("05.4", "whole batch")
def all_or_none(tokens, mask, null, keep):
    return with_where(tokens, mask, null, keep.all().expand_as(keep))


@wrong("05.4", "can still be seen")
def old_mask(tokens, mask, null, keep):
    return with_where(tokens, mask, null, keep)[0], mask


@wrong("05.4", "still tells")
def null_everywhere(tokens, mask, null, keep):
    return torch.where(keep[:, None, None], tokens, null.expand_as(tokens)), mask


@wrong("05.4", "softmax over nothing")
def nothing_left(tokens, mask, null, keep):
    return with_where(tokens, mask, null, keep)[0], mask & keep[:, None]


@wrong("05.4", "No words is not nothing")
def zeros(tokens, mask, null, keep):
    return tokens * keep[:, None, None], mask


@wrong("05.4", "is still that of the prompt")
def only_the_mask(tokens, mask, null, keep):
    return tokens, with_where(tokens, mask, null, keep)[1]


@wrong("05.4", "in place")
def written_over(tokens, mask, null, keep):
    tokens[~keep, 0] = null
    mask[~keep, 1:] = False
    return tokens, mask


@wrong("05.4", "replace it")
def null_added(tokens, mask, null, keep):
    first = torch.arange(tokens.shape[1]) == 0
    return tokens + null * first[:, None] * ~keep[:, None, None], torch.where(keep[:, None], mask, first)
