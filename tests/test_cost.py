"""`minit2v cost`: the chapter to the digit, formulas that come out as they say, and errors of one line."""

import json
import re
import subprocess
import sys
from fractions import Fraction

import pytest

from minit2v.cli import main
from minit2v.cost import Setup, as_json, lines, model_lines, table
from minit2v.cost.words import brief, duration, human, scientific
from minit2v.errors import UserError

WAN = "wan2.1-t2v-1.3b"


@pytest.fixture
def run(capsys):
    """Runs `minit2v cost …`, with flags that are split at spaces and then words that are not: code, stdout, stderr."""

    def cost(flags="", *more):
        code = main(["cost", *flags.split(), *more])
        return code, *capsys.readouterr()

    return cost


def facts(run, *arguments):
    code, out, err = run(*(arguments or ("",)), "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


# ---- figures -------------------------------------------------------------------------------------------------


def test_worked_example(run):
    clip = "--seconds 4 --fps 16 --height 512 --width 512 --vae 1,8,8 --channels 4"
    said = facts(run, f"{clip} --patch 1,1,1 --layers 1 --dim 512 --heads 8 --steps 30")
    assert said == facts(run)  # it is what is asked about if nothing is
    assert said["clip"]["frames"] == 64 and said["clip"]["values"] == 50_331_648
    assert [said["latents"][name] for name in ("frames", "height", "width", "channels")] == [64, 64, 64, 4]
    assert said["latents"]["values"] == 1_048_576 and said["latents"]["fewer_values"] == 48
    assert said["scores"]["place_head"] == 4096 and said["scores"]["place"] == 32_768
    assert said["scores"]["temporal"] == {
        "head": 16_777_216, "layer": 134_217_728, "step": 134_217_728, "clip": 4_026_531_840,
    }  # fmt: skip
    assert said["scores"]["spatial_to_temporal"] == 64 and said["flops"]["projections"] == 16


def test_exercise(run):
    said = facts(run, "--seconds 2 --fps 12 --height 384 --width 384")
    assert said["clip"]["frames"] == 24 and said["latents"]["values"] == 221_184


def test_the_saving_is_sixteen_times(run):
    said = facts(run, "--frames 16 --height 256 --width 256")["scores"]
    assert said["saving"] == pytest.approx(1024 / 65)
    assert said["full"]["layer"] / said["factorised"]["layer"] == pytest.approx(1024 / 65)


def test_the_table_holds_every_figure_of_the_json(run):
    code, out, _ = run("--guidance 5 --attention factorised --layers 12")
    assert code == 0 and "134,217,728" in out
    for line in lines(Setup(guidance=5, attention="factorised", layers=12)):
        assert line.label in out
        assert isinstance(line.value, str) or line.unit in ("s", "$") or brief(line.value) in out


SETUPS = [
    Setup(), Setup(frames=81, height=480, width=832, vae=(4, 8, 8), channels=16, patch=(1, 2, 2), layers=30, dim=1536,
                   heads=12, text_tokens=512, text_dim=4096, guidance=5, steps=50, batch=2, devices=4),
    Setup(seconds="2.5", fps=24, vae="1,16,16", attention="windowed", window=3, dtype="fp32"),
    Setup(frames=9, vae=(8, 32, 32), channels=128, attention="factorised", layers=3),
]  # fmt: skip


def evaluated(how):
    """What a formula such as "T · x = 64 × 4,096² / 7, rounded" comes to; None where it is only words."""
    said = re.sub(r"(?<=\d),(?=\d{3})", "", how.rpartition("= ")[2])
    if not re.fullmatch(r"[\d.²]+( [×/] [\d.²]+)+", said):
        return None
    result, sign = Fraction(1), "×"
    for part in said.split():
        if part in "×/":
            sign = part
            continue
        value = Fraction(part.rstrip("²")) ** (2 if part.endswith("²") else 1)
        result = result * value if sign == "×" else result / value
    return result


@pytest.mark.parametrize("setup", SETUPS)
def test_formulas_come_out_as_they_say(setup):
    checked = 0
    for line in lines(setup):
        value = evaluated(line.how)
        checked += value is not None
        assert value is None or value == line.value, line
    assert checked >= 20


def test_guidance_batch_and_devices():
    one, both = (as_json(lines(Setup(guidance=scale))) for scale in (1, 7.5))
    assert both["flops"]["clip"] == 2 * one["flops"]["clip"] and both["flops"]["forward"] == one["flops"]["forward"]
    assert both["scores"]["full"]["clip"] == 2 * one["scores"]["full"]["clip"]
    four = as_json(lines(Setup(devices=4)))
    assert four["time"]["latency"] == pytest.approx(one["time"]["latency"] / 4)
    assert as_json(lines(Setup(batch=8)))["flops"] == one["flops"]


def test_a_window_costs_what_it_shows():
    full, near = (as_json(lines(Setup(**more))) for more in ({}, dict(attention="windowed", window=1)))
    pairs = 64 + 2 * 63  # frames 0-0, 0-1, 1-0, …
    assert near["scores"]["windowed"]["head"] == pairs * 4096**2
    assert near["flops"]["attention"] < full["flops"]["attention"] * 0.05
    assert near["bytes"] == full["bytes"]


def test_huge_numbers_are_exact_and_quick(run):
    n = 10**24
    said = facts(run, f"--frames {n} --height {8 * n} --width 8e24 --layers {10**30}")
    assert said["tokens"]["total"] == n**3 and said["scores"]["full"]["clip"] == 30 * 8 * n**6 * 10**30
    code, out, _ = run(f"--frames {n} --height {8 * n} --width {8 * n}")
    assert code == 0 and "1e+72" in out


# ---- comparisons and published models ------------------------------------------------------------------------


def test_two_setups_side_by_side(run):
    said = facts(run, "--layers 2", "--against", "--attention factorised")
    first, second = said["configurations"].values()
    assert list(said["configurations"]) == ["this", "--attention factorised"]
    ratio = said["ratios"]["flops.attention"]
    assert ratio == pytest.approx(second["flops"]["attention"] / first["flops"]["attention"])
    assert said["ratios"]["clip.values"] == 1
    code, out, _ = run("--layers 2", "--against", "--attention factorised")
    assert code == 0 and "second / first" in out and "same" in out and "× 0.0" in out


def test_against_frames_and_windows_give_way(run):
    assert facts(run, "--seconds 4", "--against", "--frames 16")["ratios"]["clip.frames"] == 0.25
    said = facts(run, "--attention windowed --window 2", "--against", "--attention full")
    assert said["ratios"]["flops.attention"] > 10


def test_published_models(run):
    said = facts(run, "--model Wan2.1-T2V-1.3B")
    assert said["parameters"]["denoiser"] == 1_418_996_800 and said["tokens"]["total"] == 32_760
    assert said["flops"]["forward"] == pytest.approx(283.0e12, rel=1e-3)
    assert said["flops"]["clip"] == 100 * said["flops"]["forward"]
    assert said["time"]["latency"] == pytest.approx(100 * said["flops"]["forward"] / (0.4 * 989e12))
    short = facts(run, f"--model {WAN} --frames 17 --steps 10 --guidance 1")
    assert short["tokens"]["frames"] == 5 and short["flops"]["clip"] == 10 * short["flops"]["forward"]
    four = facts(run, f"--model {WAN} --seconds 1.0625 --dtype fp32")
    assert four["clip"]["frames"] == 17 and four["bytes"]["weights"] == 2 * said["bytes"]["weights"]


def test_models_side_by_side(run):
    said = facts(run, f"--model {WAN} --model wan2.1-t2v-14b")
    assert said["ratios"]["parameters.denoiser"] == pytest.approx(14_288_491_584 / 1_418_996_800)
    assert set(said["configurations"]) == {WAN, "wan2.1-t2v-14b"}
    steps = facts(run, f"--model {WAN}", "--against", "--steps 25")
    assert steps["ratios"]["flops.clip"] == 0.5 and steps["ratios"]["flops.forward"] == 1
    mixed = facts(run, "--layers 2", "--against", f"--model {WAN}")
    assert list(mixed["configurations"]) == ["this", f"{WAN} against"]


def test_all_models(run):
    said = facts(run, "--models")["models"]
    assert len(said) >= 15 and all(model["flops_clip"] > model["flops_forward"] > 10**12 for model in said)
    code, out, _ = run("--models --device h200")
    assert code == 0 and "on one h200" in out and all(model["name"] in out for model in said)


def test_every_model_has_its_lines():
    from minit2v.open_models import names

    for name in names():
        assert table(model_lines(name, {}))


# ---- words ---------------------------------------------------------------------------------------------------


def test_words():
    assert [human(v, "FLOP") for v in (999, 1000, 134_217_728, 4 * 10**26, 10**30)] == [
        "999 FLOP", "1 kFLOP", "134 MFLOP", "400 YFLOP", "1e+30 FLOP",
    ]  # fmt: skip
    assert human(2_097_152, "bytes") == "2.1 MB" and human(Fraction(1, 400), "$") == "0.0025 $"
    assert [duration(Fraction(s)) for s in ("0.0000001", "0.0123", "59", "120", "9000", "1e6", "1e12")] == [
        "1e-7 s", "12.3 ms", "59 s", "2 min", "2.5 h", "11.6 days", "31,710 years",
    ]  # fmt: skip
    assert scientific(10**400 // 3) == "3.33e+399" and brief(Fraction(1, 3)) == "0.3333" and brief(12_345) == "12,345"


# ---- bad input -----------------------------------------------------------------------------------------------

WRONG = {
    "--height 0": "height is 0; give a whole number of at least 1",
    "--frames -4": "frames is -4",
    "--heads 2.5": "heads is 2.5",
    "--steps many": "steps is many",
    "--width 510": "width 510 does not divide by the VAE's factor 8; the nearest that do: 504 or 512",
    "--patch 1,3,2": "latent height 64 does not divide by the patch's 3",
    "--patch 1,2": "patch 1,2: give three sizes",
    "--vae 4,8,8": "64 frames are not 4n+1, as the VAE needs; the nearest are 61 or 65",
    "--seconds 0.3": "0.3 seconds at 16 fps are 24/5 frames, no whole number; the nearest is 5 frames",
    "--seconds 1 --frames 16": "give one of them",
    "--dim 500": "dim 500 does not split into 8 heads",
    "--attention factorized": "did you mean 'factorised'?",
    "--attention windowed": "give both, or neither",
    "--dtype fp17": "unknown dtype 'fp17'",
    "--device h-100": "did you mean 'h100'",
    "--device-flops 0": "flops is 0",
    "--utilization 1.5": "it is a share",
    "--guidance 0": "guidance is 0; give a number above 0",
    "--channels 1e999999999": "of at most 100 digits",
    f"--layers {'9' * 5000}": "(5000 characters)",
    "--model wan2.1-t2v-1.4b": f"'{WAN}'",
    f"--model {WAN} --layers 3": "--layers does not go with --model",
    f"--model {WAN} --frames 80": "80 frames are not 4n+1, as the VAE needs; the nearest are 77 or 81",
    f"--model {WAN} --steps 0": "steps is 0",
    f"--model {WAN} --batch x": "batch is x",
    f"--model {WAN} --dtype int3": "unknown dtype",
    "--against --frobnicate": "expected one argument",
    "--weight 3": "unrecognized arguments",
}


@pytest.mark.parametrize("flags", WRONG)
def test_wrong_input_is_told_in_one_line(run, flags):
    code, out, err = run(flags)
    assert code == 2 and out == "" and WRONG[flags] in err
    assert err.startswith("error: ") and err.count("\n") == 1 and len(err) < 300


def test_wrong_flags_inside_against_are_told_too(run):
    wrong = {"--frobnicate 3": "unrecognized", "--height '8": "No closing quotation", "--height 7": "height 7"}
    for flags, said in wrong.items():
        code, _, err = run("", "--against", flags)
        assert code == 2 and said in err and err.count("\n") == 1


def test_setups_refuse_what_the_command_refuses():
    wrong = dict(height=True, vae=(1, 8), frames=2.5, fps=0, window=-1, layers=None)
    for name, value in wrong.items():
        with pytest.raises(UserError, match=name):
            Setup(**{name: value})


# ---- starting ------------------------------------------------------------------------------------------------


def test_it_starts_in_half_a_second_and_without_torch():
    code = (
        "import sys, time; from minit2v.cli import main; main(['cost']); main(['cost', '--model', 'mochi-1-preview']); "
        "heavy = {'torch', 'numpy', 'matplotlib', 'scipy'} & set(sys.modules); "
        "print(len(heavy), time.process_time(), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy, spent = done.stderr.split()
    assert heavy == "0" and float(spent) < 0.5  # of processor time, which others on the machine cannot take away
