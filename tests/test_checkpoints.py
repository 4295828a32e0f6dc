import errno
import hashlib
import json
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from minit2v import checkpoints, files
from minit2v.checkpoints import available, load_into, load_weights, path_of, save_weights, sha256
from minit2v.checkpoints.cards import card, sparkline, thinned, this_machine, write_card
from minit2v.errors import UserError
from minit2v.files import write_whole


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3).to(memory_format=torch.channels_last)
        self.second = nn.Linear(width, width)
        self.tied = self.second
        self.register_buffer("count", torch.tensor([3, 2**40]))


@pytest.fixture
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net()


# ---- what is written comes back ----------------------------------------------------------------------------


def test_weights_come_back_as_fp32_of_the_fp16_written(tmp_path, net):
    config = {"kind": "net", "width": 4, "share": 0.5, "names": ["a", "ö"], "none": None}
    save_weights(tmp_path / "net.safetensors", net, config)
    back_config, tensors = load_weights(tmp_path / "net.safetensors")
    assert back_config == config
    assert tensors["count"].tolist() == [3, 2**40]  # integers are not halved
    for name, tensor in net.state_dict().items():
        expected = tensor.half().float() if tensor.is_floating_point() else tensor
        assert torch.equal(tensors[name], expected) and tensors[name].dtype == expected.dtype

    other = load_into(Net(), tensors)
    assert torch.equal(other.first.weight, net.first.weight.half().float())
    assert other.first.weight.is_contiguous(memory_format=torch.channels_last)

    save_weights(tmp_path / "full.safetensors", net, config, half=False)
    assert torch.equal(load_weights(tmp_path / "full.safetensors")[1]["first.weight"], net.first.weight)


def test_the_same_weights_give_the_same_bytes(tmp_path, net):
    for name in "ab":
        save_weights(tmp_path / f"{name}.safetensors", net.state_dict(), {"x": 1})
    assert sha256(tmp_path / "a.safetensors") == sha256(tmp_path / "b.safetensors")
    assert sha256(tmp_path / "a.safetensors") == hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()


def test_loaded_tensors_outlive_their_file(tmp_path, net):
    file = tmp_path / "net.safetensors"
    save_weights(file, net, {})
    _, tensors = load_weights(file)
    file.write_bytes(b"\0" * file.stat().st_size)
    assert torch.equal(tensors["first.weight"], net.first.weight.half().float())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 70000.0])
def test_what_fp16_cannot_hold_is_not_written(tmp_path, value):
    with pytest.raises(UserError, match=r"weight 'w' .* fp16 cannot hold: .*learning rate"):
        save_weights(tmp_path / "x.safetensors", {"w": torch.tensor([1.0, value])}, {})
    assert not list(tmp_path.iterdir())


# ---- wrong files, each one line that names the fix ---------------------------------------------------------


def refusal(action, *arguments):
    with pytest.raises(UserError) as error:
        action(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_names_and_missing_files(tmp_path, monkeypatch, net):
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    assert "available: none yet" in refusal(path_of, "sora")
    for name in ("sora", "video-vae"):
        save_weights(tmp_path / f"{name}.safetensors", net, {"name": name})
    assert available() == ["sora", "video-vae"]
    assert load_weights("sora")[0] == {"name": "sora"}
    told = refusal(load_weights, "sorra")
    assert "no checkpoint is named 'sorra': did you mean 'sora'?" in told and "available: sora, video-vae" in told
    assert "does not exist: give the path" in refusal(load_weights, tmp_path / "no.safetensors")
    assert "does not exist" in refusal(load_weights, "folder/sora")
    assert "does not exist" in refusal(load_weights, tmp_path)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


@pytest.mark.parametrize("name", ["x.pt", "x.ckpt", "x.PTH", "x.safetensors"])
@pytest.mark.parametrize("kind", ["torch", "old torch", "pickle"])
def test_a_pickle_is_refused_unread(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / name
    if kind == "pickle":
        file.write_bytes(pickle.dumps({"w": Bomb()}))
    else:
        torch.save({"w": Bomb()}, file, _use_new_zipfile_serialization=kind == "torch")
    told = refusal(load_weights, file)
    assert "is a pickle" in told and "was not read" in told and "safetensors.torch.save_file" in told
    assert not (tmp_path / "exploded").exists()


def test_truncated_and_other_files(tmp_path, net):
    file = tmp_path / "net.safetensors"
    save_weights(file, net, {})
    whole = file.read_bytes()
    for size in (0, 5, 8, 9, 40, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        told = refusal(load_weights, file)
        assert "is cut short" in told and f"{size} bytes" in told and "copy or download it again" in told
    for other in (b"\x89PNG\r\n\x1a\n" + bytes(99), b"version https://git-lfs.github.com/spec/v1\n", b"\0" * 99):
        file.write_bytes(other)
        assert "is not a safetensors file" in refusal(load_weights, file)
    save_file({"w": torch.zeros(2)}, file)
    assert "holds no config" in refusal(load_weights, file)


def test_another_architecture_names_at_most_three_tensors_and_changes_nothing(net):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    told = refusal(load_into, net, Net(width=5).state_dict(), "sora")
    assert "the weights in 'sora' are of another architecture" in told
    assert "first.weight is (5, 3, 3, 3), the model's is (4, 3, 3, 3)" in told and "and 3 more" in told
    assert told.count("the model's is") == 3
    tensors = dict(net.state_dict())
    tensors["extra"] = tensors.pop("first.bias") + 1
    told = refusal(load_into, net, tensors, "sora")
    assert "first.bias is missing; extra is unknown." in told and "more" not in told
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


# ---- interrupted writes ------------------------------------------------------------------------------------


class Failing:
    """A file that takes half the bytes, and then fails."""

    def __init__(self, error, *arguments):
        self.error, self.file = error, open(*arguments)  # noqa: SIM115

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        raise self.error


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file_whole(tmp_path, monkeypatch, net, error):
    file = tmp_path / "net.safetensors"
    save_weights(file, net, {"old": True})
    old = file.read_bytes()
    monkeypatch.setattr(files, "open", lambda *arguments: Failing(error, *arguments), raising=False)
    if isinstance(error, OSError):
        told = refusal(save_weights, file, net, {"old": False})
        assert told.startswith(f"the disk that holds '{file}' is full") and "MB are free; make room" in told
    else:
        with pytest.raises(KeyboardInterrupt):
            save_weights(file, net, {"old": False})
    assert file.read_bytes() == old
    assert list(tmp_path.iterdir()) == [file]  # no half file is left behind


def test_left_overs_of_a_kill_do_not_matter(tmp_path, net):
    (tmp_path / "net.safetensors.partial").write_bytes(b"half")
    save_weights(tmp_path / "net.safetensors", net, {"a": 1})
    assert load_weights(tmp_path / "net.safetensors")[0] == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


def test_places_where_nothing_can_be_written(tmp_path):
    told = refusal(write_whole, tmp_path / "no/x.safetensors", b"1")
    assert "there is no folder" in told and "create it" in told
    (tmp_path / "folder").mkdir()
    assert "name a place where you may write" in refusal(write_whole, tmp_path / "folder", b"1")
    if os.name == "posix" and os.geteuid() != 0:  # root may write anywhere
        (tmp_path / "folder").chmod(0o500)
        assert "Permission denied" in refusal(write_whole, tmp_path / "folder/x", b"1")


# ---- cards -------------------------------------------------------------------------------------------------


def test_a_card_tells_how_the_weights_were_made(tmp_path, net):
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text(json.dumps({"settings": {"seed": 7, "batch": 8}}))
    lines = [{"step": step, "loss": 100 / step, "seconds": step * 1.2} for step in range(10, 1001, 10)]
    (run / "log.jsonl").write_text("\n".join(map(json.dumps, [*lines, {"step": 1000, "scores": {"psnr": 30.0}}])))
    file = tmp_path / "net.safetensors"
    save_weights(file, net, {"width": 4})
    scores = {"psnr": 31.234567, "adherence": {"color": 0.98, "n": 500}}
    facts = write_card(file, run, "minit2v train --out run", scores, "A small net.", machine="a laptop, 2 cores")

    stored = json.loads((tmp_path / "net.json").read_text("utf-8"))
    assert stored == json.loads(json.dumps(facts)) and stored["sha256"] == sha256(file)
    assert (stored["seed"], stored["steps"], stored["minutes"]) == (7, 1000, 20.0)
    assert stored["parameters"] == sum(tensor.numel() for tensor in net.state_dict().values())
    assert len(stored["loss"]) <= 48 and stored["loss"][-1][0] == 1000
    text = (tmp_path / "net.md").read_text("utf-8")
    assert text == card(stored)
    for line in (
        "# net",
        "A small net.",
        f"- SHA-256: `{sha256(file)}`",
        "- Command: `minit2v train --out run`",
        "- Training: seed 7, 1,000 steps, 20.0 minutes",
        "| psnr | 31.23 |",
        "| adherence, color | 0.98 |",
        "| adherence, n | 500 |",
    ):
        assert line in text.splitlines()
    assert "a laptop, 2 cores; torch" in text and "| 1,000 | 0.1 |" in text and "█" in text

    write_card(file)  # nothing known but the file
    text = (tmp_path / "net.md").read_text("utf-8")
    assert "Training" not in text and this_machine() in text


def test_curves():
    assert sparkline([0, 7, 3.4, 1]) == "▁█▄▂"
    assert sparkline([2, 2]) == "▁▁"
    assert thinned([(1, 1.0), (2, 3.0), (3, 5.0)], 2) == [[2, 2.0], [3, 5.0]]
    assert thinned([(1, 1.0), (2, 3.0)], 5) == [[1, 1.0], [2, 3.0]]


def test_committed_checkpoints_match_their_cards():
    for name in available():
        file = path_of(name)
        facts = json.loads(file.with_suffix(".json").read_text("utf-8"))
        assert facts["sha256"] == sha256(file) and facts["name"] == name
        assert file.with_suffix(".md").read_text("utf-8") == card(facts)
        config, tensors = load_weights(name)
        assert config == facts["config"] and all(tensor.isfinite().all() for tensor in tensors.values())
