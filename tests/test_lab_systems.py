"""Published systems beside ours: every architecture described, our formulas at their sizes, the law of the share."""

import dataclasses

import pytest

from minit2v.arithmetic import ClipShape, TokenGrid
from minit2v.dit import DiTConfig
from minit2v.lab import systems
from minit2v.open_models import ARCHITECTURES, figures, find, names
from minit2v.vae import VAEConfig

OURS = systems.plan(None, DiTConfig(channels=24), VAEConfig())


def test_every_architecture_has_its_rooms_and_a_source():
    assert set(systems.rooms()) == set(ARCHITECTURES)
    with pytest.raises(ValueError, match="looks"):
        dataclasses.replace(systems.OURS, looks="sideways")
    with pytest.raises(ValueError, match="source"):
        dataclasses.replace(systems.OURS, name="theirs")


def test_rooms_agree_with_the_configurations():
    for model in map(find, names()):
        said, config = systems.rooms()[model.architecture], model.config
        assert ("image" in said.reads) <= ("text" not in model.conditions)
        if "qk_norm" in config:
            assert said.qk_norm == bool(config["qk_norm"])
        if said.objective == "noise" and model.architecture == "latte":
            assert config["out_channels"] == 2 * config["in_channels"]  # it foretells a variance besides
        assert (systems.family(model) == "U-Net") == ("unet" in config or "block_out_channels" in config)


def test_our_plan_is_our_code():
    assert OURS["VAE"] == "4·8·8, 24 ch., causal" and OURS["patch"] == "1·2·2"
    assert OURS["attention"] == DiTConfig().attention
    for place in systems.ROOMS.values():
        module, _, name = place.partition(".")
        assert hasattr(__import__(f"minit2v.{module}", fromlist=[name]), name)


def test_what_is_the_same_is_found():
    marks = systems.same(systems.plan(find("wan2.1-t2v-1.3b")), OURS)
    assert all(marks.values()) and len(marks) == len(systems.ROOMS) - 1
    different = {name for name, good in systems.same(systems.plan(find("cogvideox-2b")), OURS).items() if not good}
    assert different == {"text enters by", "positions", "modulation", "objective"}
    assert sum(systems.same(systems.plan(find("animatediff")), OURS).values()) == 1
    shown = systems.module_table(["wan2.1-t2v-1.3b", "animatediff"], OURS)
    assert shown.html.count("✓") == 10 and "dit.py" in shown.text


@pytest.mark.parametrize("name", ["wan2.1-t2v-1.3b", "wan2.1-t2v-14b", "allegro"])
def test_our_transformer_at_their_size_costs_what_theirs_does(name):
    theirs, ours = systems.at_their_size(find(name))
    assert ours.attention == theirs.attention
    assert abs(ours.flops / theirs.flops - 1) < 1e-4
    assert abs(ours.parameters / theirs.parameters - 1) < 4e-3


def test_full_transformers_keep_the_law_and_the_others_do_not():
    for model in map(find, names()):
        error = float(figures(model).attention_share) - systems.law(model.grid, systems.width(model))
        full = systems.family(model) == "transformer, full"
        assert (abs(error) < 0.06) == full, (model.name, error)
    assert systems.law(TokenGrid(7, 10, 10), 100) == 0.5


def test_the_bill_has_a_row_for_every_model():
    rows = systems.bill()
    assert [row[0] for row in rows] == list(names()) and {len(row) for row in rows} == {7}
    assert rows[list(names()).index("hunyuanvideo")][2] == "118,800"
    assert systems.per_pixel(find("ltx-video")) < systems.per_pixel(find("wan2.1-t2v-1.3b"))


def test_pictures_say_their_numbers():
    ours = figures(find("latte-1")).forward, 40, 80, 192
    assert "3 of the family" not in (picture := systems.landscape(ours)).alt
    assert "x / (x + 7)" in picture.alt and "ours, share 7%" in picture.alt
    drawn = systems.ladder(["hunyuanvideo"], (ClipShape(17, 64, 64), 7680, 80))
    assert "ours: 208,896, 7,680, 80" in drawn.alt and "118,800" in drawn.alt


def test_the_reader_moves():
    reader = systems.Reader(OURS)
    _, view = reader.widget.children
    before = view.value
    slider = reader.sliders["model"]
    slider.value = "hunyuanvideo"
    assert "118,800 tokens" in view.value != before and "✓ the same" in view.value
    assert set(slider.options) == set(names()) and find(slider.options[0]).year == 2023
    assert "Wan2.1-T2V-1.3B 8" in reader.still.alt and "AnimateDiff v2 1" in reader.still.alt


def test_what_is_not_published_is_said():
    rows = systems.closed()
    assert [row["name"].split()[0] for row in rows] == ["Sora", "Runway", "Runway", "Pika", "Veo"]
    assert all(set(row) == {"name", "makers", "family", "known", "source", "unknown"} for row in rows)
    assert systems.closed_table().html.count("<tr>") == 6


def test_another_clip_must_fit():
    assert systems.longer("wan2.1-t2v-1.3b", ClipShape(81, 720, 1280)).grid.tokens == 75_600
    with pytest.raises(ValueError, match="4n\\+1"):
        systems.longer("wan2.1-t2v-1.3b", ClipShape(80, 720, 1280))
