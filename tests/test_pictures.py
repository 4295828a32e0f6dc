"""A person's own pictures: every kind of file works sensibly, or is a one-line error."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from minit2v.errors import UserError
from minit2v.pictures import MOST_PIXELS, read_picture


def halves(width=80, height=60):
    """Red on the left, blue on the right, with a green corner at the upper left."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0], pixels[:, width // 2 :, 2] = 255, 255
    pixels[: height // 4, : width // 4] = (0, 255, 0)
    return Image.fromarray(pixels)


def saved(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_a_picture_of_the_right_size_comes_through_untouched(tmp_path):
    (tmp_path / "a.png").write_bytes(saved(halves(64, 64)))
    picture = read_picture(tmp_path / "a.png", 64, 64)
    assert picture.frames.shape == (1, 64, 64, 3) and picture.notes == ()
    assert (picture.frames[0] == np.asarray(halves(64, 64))).all()
    assert (read_picture(np.asarray(halves(64, 64)), 64, 64).frames == picture.frames).all()


def test_cropping_keeps_the_middle_and_padding_keeps_all():
    wide = saved(halves(160, 40))
    cropped = read_picture(wide, 40, 40)
    assert cropped.notes == ("cropped from 160×40 to 40×40 px",)
    assert (cropped.frames[0] == np.asarray(halves(160, 40))[:, 60:100]).all()
    padded = read_picture(wide, 160, 160, fit="pad")
    assert padded.notes == ("padded from 160×40 to 160×160 px",)
    assert (padded.frames[0, 60:100] == np.asarray(halves(160, 40))).all()
    assert (padded.frames[0, :60] == 128).all() and (padded.frames[0, 100:] == 128).all()


@pytest.mark.parametrize("size", [(640, 480), (13, 200), (9, 9), (3000, 10)])
def test_any_size_is_scaled_and_says_so(size):
    picture = read_picture(saved(halves(*size)), 64, 64)
    assert picture.frames.shape == (1, 64, 64, 3) and "to 64×64 px" in picture.notes[-1]
    left, right = picture.frames[0, 32, 2], picture.frames[0, 32, -3]
    assert left[0] > 200 and left[2] < 50 and right[2] > 200 and right[0] < 50


@pytest.mark.parametrize(("orientation", "corner"), [(3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))])
def test_exif_turns_it_upright(orientation, corner):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read_picture(saved(halves(64, 64), "JPEG", exif=exif, quality=95), 64, 64)
    assert picture.notes == ("turned upright, as its EXIF data say",)
    y, x = (4 if edge == 0 else 59 for edge in corner)
    green = picture.frames[0, y, x]
    assert green[1] > 200 and green[0] < 60 and green[2] < 60


def test_transparent_gray_palette_and_16_bit_pictures_work():
    clear = halves(64, 64).convert("RGBA")
    clear.putalpha(Image.fromarray(np.repeat(np.uint8([[0], [255]]), 32, 0).repeat(64, 1)))
    picture = read_picture(saved(clear), 64, 64)
    assert picture.notes == ("transparent places are gray",)
    assert (picture.frames[0, :32] == 128).all() and (picture.frames[0, 40] == np.asarray(halves(64, 64))[40]).all()
    ramp = np.arange(64, dtype=np.uint16)[None].repeat(64, 0) * 1040
    deep = read_picture(saved(Image.fromarray(ramp)), 64, 64)
    assert "16 bits" in deep.notes[0] and np.abs(deep.frames[0, 0, :, 1] - ramp[0] / 257).max() < 1
    gray = read_picture(saved(halves(64, 64).convert("L")), 64, 64)
    assert (gray.frames[..., 0] == gray.frames[..., 2]).all() and gray.notes == ()
    few = read_picture(saved(halves(64, 64).convert("P", palette=Image.Palette.ADAPTIVE), "GIF"), 64, 64)
    assert np.abs(few.frames[0].astype(int) - np.asarray(halves(64, 64))).max() < 10


def test_an_animation_gives_its_first_frame():
    other = Image.new("RGB", (64, 64), "white")
    picture = read_picture(saved(halves(64, 64), "GIF", save_all=True, append_images=[other, other.rotate(9)]), 64, 64)
    assert "the first of" in picture.notes[0] and picture.frames[0, 40, 5, 0] > 200 > picture.frames[0, 40, 5, 2]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty (0 bytes)"),
        (b"no picture at all", "no picture that can be read"),
        (saved(halves(640, 480))[:600], "cut short or damaged"),
        (saved(halves(640, 480), "JPEG")[:3000], "cut short or damaged"),
        (saved(halves(1, 1)), "1×1 px: give a picture of at least 8 px"),
        (saved(Image.new("1", (10_000, 10_000))), "10000×10000 px: 40 million px are the most"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path, data, said):
    file = tmp_path / "picture.png"
    file.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(UserError) as caught:
        read_picture(file, 64, 64)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert said in str(caught.value) and "picture.png" in str(caught.value) and "\n" not in str(caught.value)
    assert most < 3 * MOST_PIXELS


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(UserError, match="cannot read the picture"):
        read_picture(tmp_path / "none.png", 64, 64)
    with pytest.raises(UserError, match="cannot read the picture"):
        read_picture(tmp_path, 64, 64)
    with pytest.raises(UserError, match="'stretch': give 'crop' or 'pad'"):
        read_picture(halves(), 64, 64, fit="stretch")
    with pytest.raises(UserError, match="is no picture: give uint8"):
        read_picture(np.zeros((8, 8, 3)), 64, 64)
