"""Prompts to ids to features: what counts, what does not, and what is refused in one line."""

import json

import pytest
import torch
from torch import nn

from minit2v.errors import UserError
from minit2v.text import TextConfig, TextEncoder, TextFeatures, Tokenizer
from minit2v.world.captions import VOCABULARY

WORDS = ("a", "ball", "bounces", "box", "moves", "red", "left")


@pytest.fixture
def tokenizer():
    return Tokenizer(WORDS)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return TextEncoder(TextConfig(vocabulary=25, dim=24, heads=2))


# ---- tokenizer ----


def test_ids_are_pad_start_words_then_spare(tokenizer):
    assert len(tokenizer) == 2 + 7 + 16
    ids, mask = tokenizer.encode(["a red ball", "ball"])
    assert ids.tolist() == [[1, 2, 7, 3], [1, 3, 0, 0]]
    assert mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert ids.dtype == torch.long and mask.dtype == torch.bool


def test_case_and_punctuation_do_not_matter(tokenizer):
    plain, _ = tokenizer.encode(["a red ball moves left"])
    loud, _ = tokenizer.encode(["  A RED ball,\n(moves)  left!! 🎾"])
    assert torch.equal(plain, loud)


def test_the_whole_grammar_has_ids():
    tokenizer = Tokenizer(VOCABULARY)
    assert tuple(tokenizer.words) == VOCABULARY
    for start in range(0, len(VOCABULARY), 40):
        some = VOCABULARY[start : start + 40]
        ids, _ = tokenizer.encode([" ".join(some)])
        assert ids[0, 1:].tolist() == list(range(2 + start, 2 + start + len(some)))


def test_spare_slots_take_new_words_until_none_is_left():
    tokenizer = Tokenizer(WORDS, spare=2)
    assert tokenizer.add_word("zigzags") == 9
    assert tokenizer.encode(["ball zigzags"])[0].tolist() == [[1, 3, 9]]
    tokenizer.add_word("wobbles")
    assert len(tokenizer) == 11
    with pytest.raises(UserError, match="no spare slot is left for 'teleports'"):
        tokenizer.add_word("teleports")


@pytest.mark.parametrize("word,message", [("ball", "already"), ("two words", "one lower-case word"), ("Up", "one")])
def test_words_that_cannot_be_added(tokenizer, word, message):
    with pytest.raises(UserError, match=message):
        tokenizer.add_word(word)


def test_the_vocabulary_survives_json(tokenizer):
    tokenizer.add_word("zigzags")
    again = Tokenizer.from_list(json.loads(json.dumps(tokenizer.to_list())))
    assert again.to_list() == tokenizer.to_list()
    assert torch.equal(again.encode(["a red ball zigzags"])[0], tokenizer.encode(["a red ball zigzags"])[0])
    assert again.add_word("wobbles") == 10
    with pytest.raises(UserError, match="stored vocabulary"):
        Tokenizer.from_list(["ball", "box"])
    with pytest.raises(UserError, match="twice"):
        Tokenizer(["ball", "ball"])


@pytest.mark.parametrize(
    "prompt,message",
    [
        ("a red bal", "unknown word 'bal'.*did you mean 'ball'.*minit2v.world.captions.VOCABULARY"),
        ("a red qqqqq", "unknown word 'qqqqq': minit2v.world.captions.VOCABULARY lists"),
        ("<spare0>", "unknown word 'spare0'"),
        ("", "'' holds no words"),
        ("  \n !? 🎾", "holds no words"),
        ("красный мяч", "letter 'к'.*English"),
        ("a red 球", "letter '球'"),
        ("ball " * 10_000, "has 10000 words: 48 are the most"),
        ("x" * 10_000, "unknown word 'x{40}…'"),
    ],
)
def test_bad_prompts_are_refused_in_one_short_line(tokenizer, prompt, message):
    with pytest.raises(UserError, match=message) as error:
        tokenizer.encode(["a red ball", prompt])
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


def test_the_longest_prompt_is_encoded_and_one_word_more_is_not(tokenizer, encoder):
    ids, mask = tokenizer.encode(["ball " * 48])
    assert encoder(ids, mask).tokens.shape == (1, 49, 24)
    with pytest.raises(UserError, match="49 words"):
        tokenizer.encode(["ball " * 49])


# ---- features ----


def test_padding_has_no_influence(tokenizer, encoder):
    alone = encoder(*tokenizer.encode(["red ball"]))
    both = encoder(*tokenizer.encode(["red ball", "a red ball moves left"]))
    torch.testing.assert_close(both.tokens[0, :3], alone.tokens[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(both.pooled[0], alone.pooled[0], rtol=0, atol=1e-5)
    assert not both.tokens[0, 3:].any()
    ids, mask = tokenizer.encode(["red ball", "a red ball moves left"])
    ids[0, 3:] = 5
    assert torch.equal(encoder(ids, mask).tokens, both.tokens)


def test_words_and_their_order_matter(tokenizer, encoder):
    texts = ["red ball left box", "red box left ball", "red ball left left"]
    pooled = encoder(*tokenizer.encode(texts)).pooled
    assert torch.cdist(pooled, pooled).fill_diagonal_(9).min() > 1e-2


def test_pooled_is_the_mean_of_the_real_tokens(tokenizer, encoder):
    features = encoder(*tokenizer.encode(["red ball", "a red ball moves left"]))
    mean = torch.stack([features.tokens[0, :3].mean(0), features.tokens[1].mean(0)])
    torch.testing.assert_close(features.pooled, encoder.pool(mean))


def test_gradients_reach_every_parameter(tokenizer, encoder):
    for parameter in encoder.parameters():
        nn.init.normal_(parameter)
    features = encoder(*tokenizer.encode(["red ball", "a red ball moves left"]))
    dropped = encoder.drop(features, torch.tensor([True, False]))
    (dropped.tokens.square().sum() + dropped.pooled.square().sum()).backward()
    assert not [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


# ---- the null prompt ----


def test_drop_puts_the_null_prompt_in_place(tokenizer, encoder):
    features = encoder(*tokenizer.encode(["red ball", "a red ball moves left", "box"]))
    dropped = encoder.drop(features, torch.tensor([True, False, True]))
    null = encoder.null(1)
    assert dropped.mask.tolist() == [features.mask[0].tolist(), [True] + [False] * 5, features.mask[2].tolist()]
    assert torch.equal(dropped.tokens[1, :1], null.tokens[0])
    assert torch.equal(dropped.pooled[1], null.pooled[0])
    for kept in (0, 2):
        assert torch.equal(dropped.tokens[kept], features.tokens[kept])
        assert torch.equal(dropped.pooled[kept], features.pooled[kept])


def test_the_null_prompt_is_learned_and_the_same_for_all(encoder):
    null = encoder.null(3)
    assert null.tokens.shape == (3, 1, 24) and null.mask.all()
    assert torch.equal(null.tokens[0], null.tokens[2]) and torch.equal(null.pooled[0], null.pooled[2])
    assert null.tokens.requires_grad and null.pooled.requires_grad and null.pooled.any()


def test_cat_repeat_and_to_keep_samples_whole(tokenizer, encoder):
    features = encoder(*tokenizer.encode(["red ball", "a red ball moves left"]))
    both = TextFeatures.cat(features, encoder.null(2))
    assert len(both) == 4 and both.tokens.shape == (4, 6, 24)
    assert both.mask.sum(1).tolist() == [3, 6, 1, 1]
    assert torch.equal(both.tokens[:2], features.tokens) and torch.equal(both.pooled[2:], encoder.null(2).pooled)
    assert torch.equal(features.repeat(2).tokens[2:], features.tokens)
    half = features.to(torch.float16)
    assert (half.tokens.dtype, half.mask.dtype, half.pooled.dtype) == (torch.float16, torch.bool, torch.float16)
