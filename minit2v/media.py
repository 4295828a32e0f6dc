"""Frames to files and back: mp4, gif, a contact sheet as png, npz. Frames are uint8 (t, h, w, 3).

The makers return bytes, so that whoever writes them can do so whole or not at all. Small clips are enlarged to
about 256 px, each pixel to a square, since players blur what they enlarge themselves.
"""

from __future__ import annotations

import io
import subprocess
import tempfile
import textwrap
import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from minit2v.errors import UserError, nearest

SIDE = 256  # px, of the longer side in mp4 and gif
MOST_FRAMES = 1000  # that are read from a file
PAPER, INK = (255, 255, 255), (30, 30, 30)


def enlarge(frames: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Every pixel becomes a square of k x k, k the largest whole number that keeps the picture within `side`."""
    k = max(1, side // max(frames.shape[1:3]))
    return frames.repeat(k, axis=1).repeat(k, axis=2)


def strip(frames: np.ndarray, moments: int) -> np.ndarray:
    """At most `moments` frames from first to last, side by side with a gap of 2 px: (h, moments * (w + 2) - 2, 3)."""
    show = np.linspace(0, len(frames) - 1, min(moments, len(frames))).round().astype(int)
    spaced = np.pad(frames[show], ((0, 0), (0, 0), (0, 2), (0, 0)), constant_values=255)
    return np.concatenate(list(spaced), axis=1)[:, :-2]


# ---- makers ------------------------------------------------------------------------------------------------


def mp4(frames: np.ndarray, fps: int, **_) -> bytes:
    """H.264 in the pixel format that every player knows (yuv420p), nearly lossless."""
    big = enlarge(frames)
    big = np.pad(big, [(0, 0), *((0, size % 2) for size in big.shape[1:3]), (0, 0)], mode="edge")  # yuv420p: even
    h, w = big.shape[1:3]
    into = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{w}x{h}", "-r", str(fps), "-i", "-"]
    codec = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    try:
        with tempfile.TemporaryDirectory() as folder:  # an mp4 cannot be written to a pipe: its index comes last
            path = Path(folder) / "clip.mp4"
            _ffmpeg([*into, *codec, str(path)], big.tobytes())
            return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot make the mp4 in the folder for temporary files: {error.strerror}") from error


def _ffmpeg(arguments: list[str], data: bytes) -> None:
    import imageio_ffmpeg  # only who makes films waits for it

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y", *arguments]
    done = subprocess.run(command, input=data, capture_output=True)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UserError(f"ffmpeg could not make the mp4 ({' '.join(last)}); save as .gif or .npz instead")


def gif(frames: np.ndarray, fps: int, prompt: str = "", **_) -> bytes:
    """A GIF that loops for ever. Its clock ticks in 1/100 s, so 8 fps become 12 and 13 ticks in turn."""
    # One palette for all frames: with one each, the still background would flicker.
    plain = dict(dither=Image.Dither.NONE)
    palette = Image.fromarray(frames.reshape(-1, *frames.shape[2:])).quantize(256, **plain)
    pictures = [Image.fromarray(frame).quantize(palette=palette, **plain) for frame in enlarge(frames)]
    ends = [round(100 * (i + 1) / fps) for i in range(len(pictures))]
    durations = [10 * (end - start) for start, end in zip([0, *ends], ends, strict=False)]  # ms
    out = io.BytesIO()
    more = dict(append_images=pictures[1:], duration=durations, loop=0, comment=prompt.encode())
    pictures[0].save(out, "GIF", save_all=True, **more)
    return out.getvalue()


def npz(frames: np.ndarray, fps: int, **facts) -> bytes:
    """`frames` as they are, and beside them fps and whatever else is known."""
    out = io.BytesIO()
    np.savez_compressed(out, frames=frames, fps=fps, **facts)
    return out.getvalue()


def png(frames: np.ndarray, fps: int, prompt: str = "", **_) -> bytes:
    """A contact sheet: every frame, with its time, under the prompt."""
    columns = min(6, len(frames))
    cells = [(frame, f"{i / fps:.2f} s") for i, frame in enumerate(enlarge(frames, 128))]
    return png_bytes(sheet(cells, columns, prompt), prompt)


MAKERS = {".mp4": mp4, ".gif": gif, ".png": png, ".npz": npz}


def check_name(path: Path) -> None:
    """Raises `UserError` for an extension that is not among `MAKERS`."""
    if path.suffix.lower() not in MAKERS:
        hint = nearest(path.suffix, MAKERS)
        said = f"ends in {path.suffix!r}" if path.suffix else "has no extension"
        raise UserError(f"'{path}' {said}; legal are {', '.join(MAKERS)}{hint and '; ' + hint}")


# ---- sheets ------------------------------------------------------------------------------------------------


def sheet(cells: list[tuple[np.ndarray, str]], columns: int, title: str = "", gap: int = 8) -> Image.Image:
    """Pictures (h, w, 3), all of one size, in rows of `columns`, each with its caption below; the title on top."""
    h, w, _ = cells[0][0].shape
    font, head = _font(12), _font(15)
    captions = [_wrap(caption, font, w) for _, caption in cells]
    rows = [range(i, min(i + columns, len(cells))) for i in range(0, len(cells), columns)]
    lines = [max(len(captions[i]) for i in row) for row in rows]
    text_heights = [15 * count + 6 if count else 0 for count in lines]  # px
    width = gap + columns * (w + gap)
    heading = _wrap(title, head, width - 2 * gap)
    top = gap + len(heading) * 20
    page = Image.new("RGB", (width, top + sum(h + gap + text for text in text_heights)), PAPER)
    draw = ImageDraw.Draw(page)
    draw.multiline_text((gap, gap // 2), "\n".join(heading), INK, head)
    y = top
    for row, text in zip(rows, text_heights, strict=True):
        for column, i in enumerate(row):
            x = gap + column * (w + gap)
            page.paste(Image.fromarray(cells[i][0]), (x, y))
            draw.multiline_text((x, y + h + 2), "\n".join(captions[i]), INK, font, spacing=3)
        y += h + gap + text
    return page


def png_bytes(picture: Image.Image, alt: str = "") -> bytes:
    """The picture as a png file, with a description for people who cannot see it."""
    from PIL.PngImagePlugin import PngInfo

    about, out = PngInfo(), io.BytesIO()
    about.add_itxt("Description", alt)
    picture.save(out, "PNG", pnginfo=about)
    return out.getvalue()


def _font(size: int):
    try:
        return ImageFont.load_default(size)
    except ImportError:  # a Pillow built without FreeType has one small font
        return ImageFont.load_default()


def _wrap(text: str, font, width: int) -> list[str]:
    """Lines that fit into `width` px, by the font's mean width."""
    if not text:
        return []
    return textwrap.wrap(text, max(8, int(width * len(text) / max(1, font.getlength(text)))))


# ---- reading -----------------------------------------------------------------------------------------------


DAMAGED = (OSError, ValueError, RuntimeError, EOFError, StopIteration, SyntaxError, BadZipFile, zlib.error)


def read(path: str | Path, height: int = 64, fps: int = 8) -> np.ndarray:
    """The frames of an npz, mp4 or gif, `fps` a second, and shrunk to `height` where they are higher.

    Raises `UserError` for a missing, damaged or too long file, or another kind of file.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file '{path}'; give an .npz, .mp4 or .gif")
    readers = {".npz": _read_npz, ".mp4": _read_mp4, ".gif": _read_gif}
    if path.suffix.lower() not in readers:
        raise UserError(f"'{path}' is no clip: give an .npz, .mp4 or .gif")
    try:
        frames, own = readers[path.suffix.lower()](path, height)
    except UserError:
        raise
    except DAMAGED as error:
        raise UserError(f"'{path}' is damaged, or is no {path.suffix} file: {error}") from error
    return _at_pace(frames, own, fps)


def _read_npz(path: Path, height: int) -> tuple[list[np.ndarray], float | None]:
    """Without a rate of its own, its frames are taken as they are."""
    with np.load(path, allow_pickle=False) as file:
        if "frames" not in file:
            raise UserError(f"'{path}' holds no array named 'frames', but {', '.join(file) or 'nothing'}")
        frames = file["frames"]
        own = float(file["fps"]) if "fps" in file else None
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise UserError(f"frames in '{path}' are {frames.dtype} {frames.shape}; legal is uint8 (frames, h, w, 3)")
    return [_shrink(frame, height) for frame in _few(frames, path)], own


def _read_mp4(path: Path, height: int) -> tuple[list[np.ndarray], float]:
    import imageio_ffmpeg

    stream = imageio_ffmpeg.read_frames(str(path))
    about = next(stream)
    w, h = about["size"]
    frames = (np.frombuffer(data, np.uint8).reshape(h, w, 3) for data in stream)
    return [_shrink(frame, height) for frame in _few(frames, path)], about["fps"]


def _read_gif(path: Path, height: int) -> tuple[list[np.ndarray], np.ndarray]:
    """With each picture's end in seconds: a GIF holds what stands still only once, and shows it longer."""
    frames, ends, end = [], [], 0
    with Image.open(path) as picture:
        for i in _few(range(picture.n_frames), path):
            picture.seek(i)
            frames.append(_shrink(np.asarray(picture.convert("RGB")), height))
            end += picture.info.get("duration") or 100  # ms
            ends.append(end)
    return frames, np.array(ends) / 1000


def _few(frames, path: Path):
    for number, frame in enumerate(frames):
        if number == MOST_FRAMES:
            raise UserError(f"'{path}' has more than {MOST_FRAMES} frames: cut it shorter")
        yield frame


def _shrink(frame: np.ndarray, height: int) -> np.ndarray:
    """Each new pixel is the mean of those it covers, so that what was enlarged comes back as it was."""
    h, w = frame.shape[:2]
    if h <= height:
        return frame
    return np.asarray(Image.fromarray(frame).resize((max(1, round(w * height / h)), height), Image.Resampling.BOX))


def _at_pace(frames: list[np.ndarray], own, fps: int) -> np.ndarray:
    """What is on the screen in the middle of every 1/fps s. `own`: the file's rate, or each frame's end in s."""
    if own is None:
        return np.stack(frames)
    ends = np.asarray(own) if np.ndim(own) else (np.arange(len(frames)) + 1) / own
    middles = (np.arange(max(1, round(ends[-1] * fps))) + 0.5) / fps
    return np.stack([frames[i] for i in np.searchsorted(ends, middles).clip(0, len(frames) - 1)])
