"""The formula for the text encoder, against the model itself on tensors without storage."""

import random

import torch
from flops import DRAWS, holds

from minit2v.arithmetic import models
from minit2v.text import TextConfig, TextEncoder


def test_text_encoder():
    for seed in range(DRAWS):
        rng = random.Random(seed)
        heads, batch, words = rng.randint(1, 4), rng.randint(1, 3), rng.randint(1, 16)
        config = TextConfig(rng.randint(2, 200), heads * 2 * rng.randint(1, 9), rng.randint(1, 2), heads)
        with torch.device("meta"):
            model = TextEncoder(config)
            ids, mask = torch.empty(batch, words, dtype=torch.long), torch.ones(batch, words, dtype=torch.bool)
        holds(models.text_encoder(config, words, batch), model, lambda m=model, args=(ids, mask): m(*args))
