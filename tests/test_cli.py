"""The command line: JSON on stdout, progress on stderr, one-line errors, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_system import TINY, TINY_IMAGE_VAE, TINY_STILLS, TINY_UNET, TINY_VAE, save_tiny

from minit2v import Clip, __version__, cli, commands, media, recipes
from minit2v.checkpoints import load_weights
from minit2v.training import Settings

PROMPT = "a small red ball bounces"
GENERATED = {
    "path", "prompt", "system", "frames", "height", "width", "fps", "seed", "steps", "guidance", "seconds",
    "load_seconds", "oracle",
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("weights")))


@pytest.fixture
def fresh(tmp_path):
    """Starts Python on some code, as a program of its own, in a fresh folder."""
    paths = [str(Path(__file__).parent), str(Path(cli.__file__).parent.parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}

    def start(code):
        command = [sys.executable, "-c", code]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=-1, stderr=-1, text=True)

    return start


def wrong(answer, *says):
    """Asserts that a command was refused as it must be."""
    code, out, err = answer
    assert (code, out) == (2, "") and "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert err.endswith(line + "\n")
    for part in says:
        assert part in line


# --- generate -----------------------------------------------------------------------------------------------


def test_generate_tells_all_that_the_contract_names(run, tiny, tmp_path):
    code, out, _ = run("generate", PROMPT, "--system", tiny, "--seed", 3, "--json", "--out", "a.npz", "--out", "b.png")
    told = json.loads(out)
    assert code == 0 and out.count("\n") == 1 and set(told) >= GENERATED
    assert told["path"] == "a.npz" and told["paths"] == ["a.npz", "b.png"]
    assert (told["prompt"], told["system"], told["seed"]) == (PROMPT, "tiny", 3)
    assert (told["frames"], told["height"], told["width"], told["fps"]) == (17, 64, 64, 8)
    assert (told["steps"], told["guidance"]) == (3, 2.0)
    assert told["seconds"] > 0 and told["load_seconds"] > 0
    assert {"subject", "color", "motions", "matches"} <= set(told["oracle"])
    assert media.read(tmp_path / "a.npz").shape == (17, 64, 64, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.png"]


def test_generate_obeys_its_options_and_joins_words(run, tiny):
    words = ["generate", *PROMPT.split(), "--system", tiny, "--out", "a.npz", "--json"]
    code, out, _ = run(*words, "--frames", 9, "--steps", 1, "--guidance", 1)
    told = json.loads(out)
    assert code == 0 and (told["prompt"], told["frames"], told["steps"], told["guidance"]) == (PROMPT, 9, 1, 1.0)


def test_generate_writes_to_outputs_by_itself_and_says_what_it_did(run, tiny, tmp_path):
    code, out, _ = run("generate", "A small, red ball -- bounces!", "--system", tiny)
    assert code == 0 and Path("outputs/a-small-red-ball-bounces.mp4").stat().st_size > 1000
    assert "the judge sees" in out and "outputs" in out and "{" not in out


def test_the_same_seed_writes_the_same_file(run, tiny):
    for name in ("a.npz", "b.npz"):
        assert run("generate", PROMPT, "--system", tiny, "--out", name)[0] == 0
    assert np.array_equal(media.read("a.npz"), media.read("b.npz"))


@pytest.mark.parametrize(
    "words, says",
    [
        ([""], ["prompt is empty"]),
        (["a small red bal bounces"], ["unknown word 'bal'", "'ball'"]),
        (["ball " * 10_000], ["10,000 words", "at most 48"]),
        (["红色的球"], ["unknown word '红色的球'"]),
        (["a red blue ball"], ["more than one color"]),
        (["a plain red ball spins"], ["make it striped or dotted"]),
        ([PROMPT, "--frames", "16"], ["16 frames", "13 and 17"]),
        ([PROMPT, "--frames", "many"], ["--frames", "'many'", "generate --help"]),
        ([PROMPT, "--steps", "0"], ["0 sampling steps"]),
        ([PROMPT, "--guidance", "-1"], ["guidance -1"]),
        ([PROMPT, "--guidance", "nan"], ["guidance nan"]),
        ([PROMPT, "--seed", "-1"], ["seed -1"]),
        ([PROMPT, "--system", "sorra"], ["no checkpoint is named 'sorra'"]),
        ([PROMPT, "--system", "none.safetensors"], ["does not exist"]),
        ([PROMPT, "--sytsem", "sora"], ["--sytsem", "--help"]),
        ([PROMPT, "--out", "nowhere/a.mp4"], ["there is no folder 'nowhere'"]),
        ([PROMPT, "--out", "a.mpeg"], ["'.mpeg'", ".mp4, .gif, .png, .npz"]),
        ([PROMPT, "--out", "a.npz", "--out", "b"], ["'b' has no extension"]),
        ([], ["prompt"]),
    ],
)
def test_wrong_input_to_generate(run, tiny, tmp_path, words, says):
    system = [] if "--system" in words else ["--system", tiny]
    out = [] if "--out" in words else ["--out", "clip.npz"]
    wrong(run("generate", *words, *system, *out), *says)
    assert not list(tmp_path.iterdir())


def test_a_cut_checkpoint_or_a_pickle_is_told(run, tiny):
    Path("cut.safetensors").write_bytes(Path(tiny).read_bytes()[:3000])
    wrong(run("generate", PROMPT, "--system", "cut.safetensors", "--out", "a.npz"), "cut short or damaged")
    Path("old.ckpt").write_bytes(b"\x80\x04.")
    wrong(run("generate", PROMPT, "--system", "old.ckpt", "--out", "a.npz"), "is a pickle")
    vae = Path(tiny).with_name("tiny-vae.safetensors")
    wrong(run("generate", PROMPT, "--system", vae, "--out", "a.npz"), "holds a vae")


def test_a_full_disk_is_told_and_loses_nothing(run, tiny, monkeypatch):
    Path("a.npz").write_bytes(b"precious")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    wrong(run("generate", PROMPT, "--system", tiny, "--out", "a.npz"), "is full", "make room")
    assert Path("a.npz").read_bytes() == b"precious" and [path.name for path in Path().iterdir()] == ["a.npz"]


def test_a_wrong_word_is_told_before_anything_heavy_is_loaded(fresh):
    code = (
        "import sys; from minit2v import cli; code = cli.main(['generate', 'a red bal']); "
        "print(code, 'torch' in sys.modules, 'scipy' in sys.modules)"
    )
    out, err = fresh(code).communicate(timeout=60)
    assert out == "2 False False\n" and err.count("\n") == 1


IDLE = {
    "IPython", "diffusers", "imageio", "ipywidgets", "matplotlib", "minit2v.lab", "minit2v.metrics", "minit2v.training",
    "pygments", "scipy.optimize", "scipy.signal", "scipy.stats", "torch._dynamo", "torchvision",
}  # fmt: skip


def test_generate_imports_nothing_that_it_does_not_need(fresh, tiny, tmp_path):
    """A cold start is seconds of imports: what is slow and idle must stay out."""
    words = ["generate", PROMPT, "--system", tiny, "--out", "a.mp4"]
    code = f"import sys; from minit2v import cli; cli.main({words!r}); print(sorted({IDLE!r} & set(sys.modules)))"
    out, _ = fresh(code).communicate(timeout=120)
    assert out.splitlines()[-1] == "[]" and (tmp_path / "a.mp4").exists()


# --- evaluate -----------------------------------------------------------------------------------------------


def test_evaluate_tells_every_figure_beside_its_controls(run, tiny):
    words = ["evaluate", "--system", tiny, "--n", 3, "--steps", 1, "--controls", 2, "--json", "--sheet", "sheet.png"]
    code, out, _ = run(*words)
    told = json.loads(out)
    assert code == 0 and told["adherence"]["n"] == 3 and 0 <= told["adherence"]["overall"] <= 1
    low, high = told["adherence"]["interval"]
    assert 0 <= low <= told["adherence"]["overall"] <= high <= 1 and "color" in told["adherence"]["attributes"]
    for name in ("adherence", "flicker", "identity_drift", "motion", "physics"):
        assert set(told[name]["controls"]) == {"real", "frozen", "shuffled", "other"}
    assert told["seconds"] > 0 and told["controls_n"] == 2 and told["split"] == "held-out" and told["system"] == "tiny"
    assert Path("sheet.png").stat().st_size > 1000
    again = json.loads(run(*words)[1])
    assert {**again, "seconds": 0} == {**told, "seconds": 0}
    assert json.loads(run(*words, "--seed", 1)[1])["wrong"] != told["wrong"]


def test_evaluate_on_prompts_of_ones_own(run, tiny):
    Path("mine.txt").write_text("a red ball bounces\na blue box grows\na green star spins\n")
    words = ["evaluate", "--system", tiny, "--prompts", "mine.txt", "--steps", 1, "--controls", 1]
    code, out, _ = run(*words, "--n", 2, "--json")
    assert code == 0 and json.loads(out)["adherence"]["n"] == 2
    code, out, _ = run(*words)
    assert code == 0 and "of 3 clips" in out and "frozen" in out and "{" not in out


@pytest.mark.parametrize(
    "words, says",
    [
        (["--split", "test"], "there is no split 'test'"),
        (["--n", "0"], "at least 1"),
        (["--prompts", "none.txt"], "cannot read 'none.txt'"),
        (["--sheet", "sheet.mp4"], "let it end in .png"),
        (["--sheet", "nowhere/sheet.png"], "there is no folder"),
        (["--controls", "0"], "no figure stands without them"),
        (["--steps", "0"], "0 sampling steps"),
        (["--seed", "-3"], "seed -3"),
    ],
)
def test_wrong_input_to_evaluate(run, tiny, words, says):
    wrong(run("evaluate", "--system", tiny, *words), says)


# --- world and judge ----------------------------------------------------------------------------------------


def test_world_renders_the_truth_and_judge_reads_it(run):
    code, out, _ = run(
        "world", PROMPT, "on a checkered floor", "--seed", 1, "--json", "--out", "a.mp4", "--out", "a.npz"
    )
    told = json.loads(out)
    assert code == 0 and told["meaning"]["motions"] == ["bounces"] and told["meaning"]["background"] == "checkered"
    assert told["truth"]["color"] == [219, 33, 38] and told["truth"]["width"]["first"] >= 16
    assert all(told["oracle"]["matches"].values())
    for path in ("a.mp4", "a.npz"):
        code, out, _ = run("judge", path, "--prompt", PROMPT, "--json")
        seen = json.loads(out)
        assert code == 0 and all(seen["oracle"]["matches"].values()) and seen["frames"] == 17
        assert seen["figures"]["adherence"] == 1.0 and 0.9 < seen["figures"]["motion"] < 1.1
    center = Clip(media.read("a.npz")).reading.track.center
    for name, t in (("first", 0), ("last", -1)):
        assert np.abs(center[t] - told["truth"]["position"][name]).max() < 1


def test_world_shows_without_writing_and_knows_the_small_world(run, tmp_path):
    code, out, _ = run("world", "a blue star grows", "--world", "nano")
    assert code == 0 and "the truth" in out and not list(tmp_path.iterdir())
    assert run("world", "a blue star grows", "--world", "nano", "--out", "a.npz")[0] == 0
    code, out, _ = run("judge", "a.npz", "--json")
    assert json.loads(out)["world"] == "nano" and json.loads(out)["oracle"]["motions"] == ["grows"]


def test_judge_tells_what_is_wrong(run):
    run("world", PROMPT, "--out", "a.npz")
    code, out, _ = run("judge", "a.npz", "--prompt", "a small blue ball bounces")
    assert code == 0 and "no: color" in out


@pytest.mark.parametrize(
    "words, says",
    [
        (["world", "a plain ball spins"], "make it striped or dotted"),
        (["world", "a dog grows", "--world", "nano"], "nano world has no subject 'dog'"),
        (["world", "a ball grows", "--world", "nanno"], "did you mean 'nano'"),
        (["world", "a ball grows", "--out", "a.avi"], "'.avi'"),
        (["judge", "none.mp4"], "there is no file"),
        (["judge", "notes.gif"], "damaged, or is no .gif"),
        (["judge", "notes.gif", "--prompt", "a red bal"], "unknown word 'bal'"),
        (["judge"], "FILE"),
    ],
)
def test_wrong_input_to_world_and_judge(run, words, says):
    Path("notes.gif").write_text("hello")
    wrong(run(*words), says)


# --- train --------------------------------------------------------------------------------------------------


@pytest.fixture
def small_recipes(monkeypatch):
    monkeypatch.setattr("minit2v.tasks.DenoiserTask.judged", 4)
    monkeypatch.setitem(recipes.SYSTEMS, "tiny", TINY)
    monkeypatch.setitem(recipes.VAES, "tiny-vae", TINY_VAE)


def test_train_a_vae_then_a_system_then_generate_with_it(run, small_recipes):
    code, out, _ = run("train", "--system", "tiny-vae", "--out", "vae", "--json")
    told = json.loads(out)
    assert code == 0 and told["finished"] and told["step"] == 2 and told["weights"].endswith("weights.safetensors")
    config, tensors = load_weights("vae/weights.safetensors")
    assert config["kind"] == "vae" and tensors["std"].min() > 0 and not np.allclose(tensors["std"], 1)
    code, out, _ = run("train", "--system", "tiny", "--vae", "vae", "--clips", 8, "--out", "system", "--json")
    assert code == 0 and {"adherence", "color"} <= set(json.loads(out)["scores"])
    assert sorted(path.name for path in Path("system/pictures").iterdir()) == ["000002.png"]
    told = json.loads(run("generate", PROMPT, "--system", "system", "--vae", "vae", "--out", "a.npz", "--json")[1])
    assert told["system"] == "tiny"


def test_train_in_stages_on_the_same_latents_then_generate(run, small_recipes, monkeypatch):
    for recipe in TINY_STILLS, replace(TINY_UNET, freeze="spatial"):
        monkeypatch.setitem(recipes.SYSTEMS, recipe.name, recipe)
    monkeypatch.setitem(recipes.VAES, "tiny-image-vae", TINY_IMAGE_VAE)
    assert run("train", "--system", "tiny-image-vae", "--out", "vae", "--json")[0] == 0
    words = ["train", "--vae", "vae", "--clips", 8, "--latents", "latents", "--json"]
    code, out, _ = run(*words, "--system", "tiny-stills", "--out", "stills")
    assert code == 0 and {"looks", "color"} <= set(json.loads(out)["scores"])
    wrong(run(*words, "--system", "tiny-unet", "--out", "clips"), "tiny-unet", "--start")
    made = Path("latents/latents.npy").stat().st_mtime_ns
    assert run(*words, "--system", "tiny-unet", "--start", "stills", "--out", "clips")[0] == 0
    assert Path("latents/latents.npy").stat().st_mtime_ns == made and not Path("clips/latents").exists()
    assert json.loads(Path("clips/recipe.json").read_text())["origin"] == {"start": "stills"}
    code, out, _ = run("generate", PROMPT, "--system", "clips", "--vae", "vae", "--out", "a.npz", "--json")
    assert code == 0 and json.loads(out)["system"] == "tiny-unet"
    Image.new("RGB", (64, 64), "red").save("red.png")
    words = ["generate", PROMPT, "--system", "clips", "--vae", "vae", "--image", "red.png", "--out", "a.npz"]
    wrong(run(*words), "'tiny-unet' makes clips from a prompt alone", "'sora'")


def test_generate_from_a_picture_says_what_was_done_to_it(run, tiny):
    Image.new("RGB", (100, 80), "red").save("red.png")
    words = ["generate", PROMPT, "--system", tiny, "--out", "a.npz", "--json"]
    code, out, _ = run(*words, "--image", "red.png")
    told = json.loads(out)
    assert code == 0 and told["notes"][0] == "red.png: cropped from 100×80 to 80×80 px"
    assert any("the VAE cannot hold this picture well" in note for note in told["notes"])  # an untrained one
    given = np.load("a.npz")["frames"]
    assert run(*words)[0] == 0 and not np.array_equal(given, np.load("a.npz")["frames"])
    Path("b.png").write_bytes(b"")
    wrong(run(*words, "--image", "b.png"), "'b.png' is empty")
    wrong(run(*words, "--image-noise", 0.3), "--image-noise 0.3", "--image")
    wrong(run(*words, "--image", "red.png", "--image-noise", 2), "noise 2")


def test_train_at_a_share_of_the_recipes_rates(run, small_recipes):
    words = ["train", "--system", "tiny-vae", "--out", "vae"]
    assert run(*words, "--rate", 0.25)[0] == 0
    stored = json.loads(Path("vae/recipe.json").read_text())["settings"]
    assert stored["learning_rate"] == 0.25 * Settings.learning_rate and stored["muon_learning_rate"] is None
    wrong(run(*words, "--rate", 0), "--rate 0", "above 0")


def test_train_resumes_and_protects_its_folder(run, small_recipes):
    words = ["train", "--system", "tiny-vae", "--out", "vae"]
    assert run(*words)[0] == 0
    wrong(run(*words), "already holds this run", "--resume")
    wrong(run(*words, "--steps", 9, "--resume"), "already holds another recipe", "steps")
    wrong(run("train", "--system", "video-vae", "--out", "vae", "--resume"), "already holds another recipe")
    wrong(run(*words, "--start", "vae/weights.safetensors", "--resume"), "already holds another recipe", "origin.start")
    before = Path("vae/weights.safetensors").read_bytes()
    assert run(*words, "--resume")[0] == 0 and Path("vae/weights.safetensors").read_bytes() == before


def test_a_system_is_refused_a_folder_before_its_clips_are_encoded(run, small_recipes, tiny, monkeypatch):
    monkeypatch.setattr("minit2v.datasets.fill_cache", None)
    Path("run").mkdir()
    Path("run/recipe.json").write_text(json.dumps({"task": "else", "config": {}, "settings": {}}))
    vae = Path(tiny).with_name("tiny-vae.safetensors")
    wrong(run("train", "--system", "tiny", "--vae", vae, "--out", "run"), "already holds another recipe")


@pytest.mark.parametrize(
    "words, says",
    [
        (["--system", "sorra", "--out", "x"], "did you mean 'sora'"),
        (["--system", "tiny-vae", "--out", "x", "--steps", "0"], "steps is 0"),
        (["--system", "tiny-vae", "--out", "x", "--minutes", "nan"], "minutes is nan"),
        (["--system", "tiny-vae", "--out", "x", "--batch", "-2"], "batch is -2"),
        (["--system", "tiny-vae", "--out", "x", "--threads", "0"], "--threads 0"),
        (["--system", "tiny", "--out", "x", "--clips", "0"], "--clips 0"),
        (["--system", "tiny", "--out", "x"], "no checkpoint is named 'tiny-vae'"),
        (["--system", "tiny-vae", "--out", "x", "--resume"], "holds no run to resume"),
        (["--system", "tiny-vae", "--out", "x", "--decoder-only"], "start with their VAE's checkpoint"),
        (["--system", "tiny", "--out", "x", "--decoder-only"], "train its VAE 'tiny-vae'"),
        (["--system", "tiny-vae"], "--out"),
    ],
)
def test_wrong_input_to_train(run, small_recipes, words, says):
    wrong(run("train", *words), says)
    assert not Path("x/weights.safetensors").exists()


def test_minutes_end_a_training(run, small_recipes, monkeypatch):
    long = replace(TINY_VAE, training=dict(TINY_VAE.training, steps=10**6))
    monkeypatch.setitem(recipes.VAES, "tiny-vae", long)
    code, out, _ = run("train", "--system", "tiny-vae", "--out", "vae", "--minutes", 0.01, "--json")
    assert code == 0 and json.loads(out)["finished"] and json.loads(out)["step"] < 1000


# --- the frame ----------------------------------------------------------------------------------------------


def test_commands_and_help(run, capsys):
    wrong(run(), "COMMAND")
    wrong(run("generrate", "x"), "'generrate'")
    for words, says in ((["--help"], "generate"), (["train", "--help"], "--resume"), (["--version"], __version__)):
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        assert ended.value.code == 0 and says in capsys.readouterr().out


def test_what_nobody_foresaw_is_one_line_too(run, monkeypatch):
    def broken(options):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(commands, "world", broken)
    code, out, err = run("world", "a ball")
    assert (code, out, err.count("\n")) == (1, "", 1) and "unexpected RuntimeError: two lines" in err
    monkeypatch.setenv("MINIT2V_TRACEBACK", "1")
    with pytest.raises(RuntimeError):
        run("world", "a ball")


def test_ctrl_c_is_one_line(run, monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "world", interrupted)
    assert run("world", "a ball") == (130, "", "error: stopped\n")


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_stops_a_real_training_which_resumes(fresh, tmp_path):
    process = fresh(
        "import sys; from dataclasses import replace; from tiny_system import TINY_VAE\n"
        "from minit2v import cli, recipes\n"
        "recipes.VAES['tiny-vae'] = replace(TINY_VAE, training=dict(batch=2, steps=100000, warmup=1, log_every=1))\n"
        "sys.exit(cli.main(['train', '--system', 'tiny-vae', '--out', 'vae']))"
    )
    log = tmp_path / "vae" / "log.jsonl"
    patience = time.monotonic() + 300
    while not (log.exists() and log.read_text().count("\n") > 1) and time.monotonic() < patience:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume goes on" in err and "Traceback" not in err
    assert (tmp_path / "vae" / "weights.safetensors").exists() and out.count("step") == 1


def test_progress_changes_one_line_on_a_terminal_and_is_sparing_elsewhere(capsys, monkeypatch):
    with commands.Progress() as tell:
        for i in range(50):
            tell(f"step {i}")
    assert capsys.readouterr().err == "step 0\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with commands.Progress() as tell:
        tell("step 1")
        tell("step 2")
    assert capsys.readouterr().err == "\r\x1b[Kstep 1\r\x1b[Kstep 2\r\x1b[K"


def test_a_reader_that_leaves_early_is_no_error(fresh):
    process = fresh("import sys; from minit2v import cli; sys.exit(cli.main(['world', 'a red ball grows', '--json']))")
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(60) == 1 and err == ""
