"""Text: prompt -> words -> ids -> features that a denoiser can look at.

    "a red ball bounces" ─ Tokenizer ─ ids (b, n) ─ TextEncoder ─ TextFeatures: one token per word, and one pooled
                                                                  vector that sums the prompt up

The world's language is small, so one token is one word and the encoder is trained together with the denoiser.
The large systems put a pretrained language model here; what the denoiser sees has the same form.
"""

import unicodedata
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import nn

from minit2v.attention import SelfAttention, sinusoidal
from minit2v.errors import UserError, nearest
from minit2v.world.captions import MAX_WORDS
from minit2v.world.captions import words as split_words

PAD, START = "<pad>", "<start>"
SPARE = "<spare{}>"


# ---- words to ids ----------------------------------------------------------------------------------------


class Tokenizer:
    """One id per word: 0 is padding, 1 starts every sequence (so that none is empty), then the words in the
    given order, then spare slots, so that a trained model can be taught new words without growing its table."""

    def __init__(self, words, spare=16, max_words=MAX_WORDS):
        self.names = [PAD, START, *words, *(SPARE.format(i) for i in range(spare))]
        self.max_words = max_words
        self.index()

    def index(self):
        """Rebuild the look-up from name to id."""
        self.ids = {name: i for i, name in enumerate(self.names)}
        if len(self.ids) != len(self.names):
            raise UserError("the vocabulary names a word twice; every word needs one id")

    def __len__(self):
        return len(self.names)

    @property
    def words(self):
        """The words that a prompt may use, in the order of their ids."""
        return [name for name in self.names if not name.startswith("<")]

    def add_word(self, word):
        """Claim the next spare slot for a new word; returns its id. Raises UserError if there is none, or if the
        word is known or not one lower-case word."""
        if split_words(word) != [word]:
            raise UserError(f"{quote(word)} is not one lower-case word: use letters and digits only")
        if word in self.ids:
            raise UserError(f"{quote(word)} is already in the vocabulary, as id {self.ids[word]}")
        slot = next((i for i, name in enumerate(self.names) if name.startswith("<spare")), None)
        if slot is None:
            raise UserError(f"no spare slot is left for {quote(word)}: make the tokenizer with a larger `spare`")
        self.names[slot] = word
        self.index()
        return slot

    def encode(self, texts, device=None, multiple=1):
        """Texts -> ids (b, n) long, mask (b, n) bool, True = a real token; n is the longest text's, start included,
        or the next `multiple` of it: few shapes, for what is compiled for each.

        Case and punctuation do not matter. Raises UserError for an unknown word, an empty text, letters that are
        not Latin, or more than `max_words` words.
        """
        rows = [[self.ids[START], *self.word_ids(text)] for text in ([texts] if isinstance(texts, str) else texts)]
        longest = -(-max(map(len, rows)) // multiple) * multiple
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)  # (b, n)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        return ids, torch.arange(longest, device=device) < lengths[:, None]  # (b, n), (b, n)

    def word_ids(self, text):
        """The ids of one text's words, without the start."""
        words = split_words(text)
        refuse_foreign(text)
        if not words:
            raise UserError(f"the prompt {quote(text)} holds no words: say what to show, such as 'a red ball bounces'")
        if len(words) > self.max_words:
            raise UserError(
                f"the prompt {quote(text)} has {len(words)} words: {self.max_words} are the most; shorten it"
            )
        return [self.word_id(word) for word in words]

    def word_id(self, word):
        """One word's id. Raises UserError with the nearest known words."""
        if word not in self.ids:
            hint = nearest(word[:40], self.words)
            listed = "minit2v.world.captions.VOCABULARY lists the words"
            raise UserError(f"unknown word {quote(word)}: " + (f"{hint} {listed}" if hint else listed))
        return self.ids[word]

    def to_list(self):
        """All names in the order of their ids, ready for JSON: a checkpoint stores its own vocabulary."""
        return list(self.names)

    @classmethod
    def from_list(cls, names, max_words=MAX_WORDS):
        """The inverse of `to_list`. Raises UserError if the list is not one."""
        if list(names[:2]) != [PAD, START]:
            raise UserError(f"a stored vocabulary starts with {PAD} and {START}; this one with {names[:2]}")
        tokenizer = cls([], spare=0, max_words=max_words)
        tokenizer.names = list(names)
        tokenizer.index()
        return tokenizer


def refuse_foreign(text):
    """Raises UserError at the first letter that is not Latin."""
    foreign = next((c for c in text if c.isalpha() and not unicodedata.name(c, "").startswith("LATIN")), None)
    if foreign:
        raise UserError(f"the prompt {quote(text)} has the letter {foreign!r}: write it in English words")


def quote(text, longest=40):
    """The text in quotes for an error message, cut if it is long."""
    return repr(text if len(text) <= longest else text[:longest] + "…")


# ---- features --------------------------------------------------------------------------------------------


@dataclass
class TextFeatures:
    """What a denoiser is told: tokens (b, n, d), mask (b, n) bool with True = a real token, pooled (b, d)."""

    tokens: torch.Tensor
    mask: torch.Tensor
    pooled: torch.Tensor

    def __len__(self):
        return len(self.tokens)

    def padded(self, n):
        """The same features with padding up to n tokens."""
        extra = n - self.tokens.shape[1]
        return TextFeatures(F.pad(self.tokens, (0, 0, 0, extra)), F.pad(self.mask, (0, extra)), self.pooled)

    @classmethod
    def cat(cls, *parts):
        """Batches of features, one after the other: for guidance, the prompts and the null prompt in one pass."""
        longest = max(part.tokens.shape[1] for part in parts)
        parts = [part.padded(longest) for part in parts]
        return cls(*(torch.cat([getattr(p, name) for p in parts]) for name in ("tokens", "mask", "pooled")))

    def repeat(self, times):
        """The whole batch, `times` times over."""
        return TextFeatures.cat(*[self] * times)

    def to(self, *args, **kwargs):
        """On another device, or in another float type (the mask stays bool)."""
        tokens, pooled = self.tokens.to(*args, **kwargs), self.pooled.to(*args, **kwargs)
        return TextFeatures(tokens, self.mask.to(tokens.device), pooled)


# ---- the encoder -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextConfig:
    """Everything that shapes the text encoder's weights; every value is JSON-able."""

    vocabulary: int  # len(tokenizer): words, spare slots, padding and start
    dim: int = 192  # channels of a token, and of the features
    layers: int = 2
    heads: int = 6
    max_words: int = MAX_WORDS


class TextBlock(nn.Module):
    """A pre-norm transformer block: words look at words, then each thinks alone."""

    def __init__(self, dim, heads):
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x, mask):
        """x (b, n, d), mask (b, 1, 1, n) bool -> (b, n, d)."""
        x = x + self.attention(self.norm_attention(x), mask=mask)
        return x + self.mlp(self.norm_mlp(x))


class TextEncoder(nn.Module):
    """A small transformer over the words, with a learned null prompt: the "no text" of classifier-free guidance
    (Ho & Salimans 2022, section 3.2)."""

    def __init__(self, config):
        super().__init__()
        self.config, d = config, config.dim
        self.embedding = nn.Embedding(config.vocabulary, d)
        self.register_buffer("positions", sinusoidal(torch.arange(config.max_words + 1), d), persistent=False)
        self.blocks = nn.ModuleList(TextBlock(d, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(d)
        self.pool = nn.Sequential(nn.Linear(d, d), nn.SiLU(), nn.Linear(d, d))
        self.null_token = nn.Parameter(torch.empty(d))
        self.null_pooled = nn.Parameter(torch.empty(d))
        initialize(self)

    def forward(self, ids, mask):
        """ids (b, n) and mask (b, n) from `Tokenizer.encode` -> TextFeatures."""
        x = self.embedding(ids) + self.positions[: ids.shape[1]]  # (b, n, d)
        for block in self.blocks:
            x = block(x, rearrange(mask, "b n -> b 1 1 n"))
        tokens = self.norm(x) * mask[..., None]  # (b, n, d)
        mean = tokens.sum(1) / mask.sum(1, keepdim=True)  # over the real tokens only
        return TextFeatures(tokens, mask, self.pool(mean))

    def null(self, batch):
        """The null prompt's features, for `batch` samples: a sequence of one learned token, one learned vector."""
        tokens = repeat(self.null_token, "d -> b 1 d", b=batch)
        mask = torch.ones(batch, 1, dtype=torch.bool, device=tokens.device)
        return TextFeatures(tokens, mask, repeat(self.null_pooled, "d -> b d", b=batch))

    def drop(self, features, keep):
        """Features with the null prompt in place of every sample whose keep (b,) is False, for guidance training."""
        null = self.null(len(features)).padded(features.tokens.shape[1])
        return TextFeatures(
            torch.where(keep[:, None, None], features.tokens, null.tokens),
            torch.where(keep[:, None], features.mask, null.mask),
            torch.where(keep[:, None], features.pooled, null.pooled),
        )


def initialize(encoder):
    """How a text encoder starts: Xavier-uniform weights, zero biases, a small null prompt, and words of unit scale
    like the positions: words at 0.02 drown in them and are learned five times later."""
    for module in encoder.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.normal_(encoder.embedding.weight)
    for null in (encoder.null_token, encoder.null_pooled):
        nn.init.normal_(null, std=0.02)
