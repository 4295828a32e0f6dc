"""Weights on disk: safetensors only, written whole or not at all.

A checkpoint is NAME.safetensors: fp16 tensors, and in its header, as JSON, the `config` that rebuilds the
model. The committed ones lie in this folder, each with a card beside it (see cards.py). A pickle (.pt, .ckpt)
can run any code while it is being opened, so it is refused unread.
"""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from minit2v.errors import UserError, nearest
from minit2v.files import write_whole

FOLDER = Path(__file__).parent
PICKLES = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle"}
LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors format


def sha256(path):
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- names -------------------------------------------------------------------------------------------------


def available():
    """Sorted names of the committed checkpoints."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def path_of(name):
    """Path of a committed checkpoint ("sora"), or of a file; a word without a dot or slash is a name.

    Raises UserError if there is no such name or file.
    """
    text = str(name)
    if isinstance(name, str) and not any(sign in text for sign in "./\\"):
        if text not in available():
            names = ", ".join(available()) or "none yet"
            hint = f"{nearest(text, available())} available: {names}"
            raise UserError(f"no checkpoint is named '{text}': {hint}; or give the path of a .safetensors file")
        return FOLDER / f"{text}.safetensors"
    path = Path(name)
    if not path.is_file():
        raise UserError(f"checkpoint '{path}' does not exist: give the path of a .safetensors file")
    return path


# ---- weights -----------------------------------------------------------------------------------------------


def save_weights(path, model, config, half=True):
    """Write a model's weights, with the JSON-able `config` that rebuilds it, as safetensors.

    `model` is a module or a dict of tensors. `half` stores floating-point tensors as fp16. The same weights
    and config give the same bytes. Raises UserError if a weight is not a finite fp16 number, or if the file
    cannot be written.
    """
    tensors = model.state_dict() if isinstance(model, torch.nn.Module) else model
    tensors = {name: _packed(name, tensor, half) for name, tensor in tensors.items()}
    write_whole(path, to_bytes(tensors, {"config": json.dumps(config)}))  # one key: several come in random order


def _packed(name, tensor, half):
    # A copy of its own: safetensors refuses tensors that share memory, as tied weights do.
    tensor = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    if not (half and tensor.is_floating_point()):
        return tensor
    tensor = tensor.half()
    if not tensor.isfinite().all():
        raise UserError(
            f"weight '{name}' is NaN, infinite or beyond ±65504, which fp16 cannot hold: "
            "train with a lower learning rate, or save with half=False"
        )
    return tensor


def load_weights(name):
    """Read a committed checkpoint by name, or a .safetensors file: (config, {name: tensor}).

    Floating-point tensors come back as float32. Raises UserError for a missing or truncated file, and for
    anything that is not safetensors; a pickle is refused without reading it.
    """
    header, tensors = read_tensors(path_of(name))
    if "config" not in header:
        raise UserError(f"'{name}' holds no config in its header: it was not written by minit2v's save_weights")
    return json.loads(header["config"]), {
        key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()
    }


def read_tensors(path):
    """The header's strings and the tensors, as stored, of a safetensors file; raises like `load_weights`."""
    path = Path(path)
    _refuse_others(path)
    try:
        with safe_open(path, framework="pt") as file:
            # clone: the tensors must not be views of a file that may be replaced
            return file.metadata() or {}, {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        size = path.stat().st_size
        raise UserError(
            f"'{path}' is cut short or damaged ({size} bytes; {error}): copy or download it again"
        ) from error


def _refuse_others(path):
    """Raise UserError unless the first bytes are those of a safetensors file."""
    try:
        with open(path, "rb") as file:
            first = file.read(9)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}; give a .safetensors file") from error
    is_pickle = first.startswith(b"PK") or (first[:1] == b"\x80" and first[1:2] in b"\x02\x03\x04\x05")
    if path.suffix.lower() in PICKLES or is_pickle:
        raise UserError(
            f"'{path}' is a pickle, which can run any code when opened, so it was not read: "
            "convert it where you trust it, with safetensors.torch.save_file"
        )
    length = int.from_bytes(first[:8], "little")  # of the JSON header that follows
    if len(first) < 9:
        raise UserError(f"'{path}' is cut short ({len(first)} bytes): copy or download it again")
    if length > LARGEST_HEADER or first[8:] != b"{":
        raise UserError(f"'{path}' is not a safetensors file: give one that minit2v's save_weights wrote")


def load_into(model, tensors, name="the checkpoint"):
    """Copy tensors into a model, all or none of them. Returns the model.

    Raises UserError, naming at most three of the tensors that do not fit, if the architecture is another.
    """
    own = model.state_dict()
    wrong = [f"{key} is missing" for key in own if key not in tensors]
    wrong += [f"{key} is unknown" for key in tensors if key not in own]
    wrong += [
        f"{key} is {tuple(tensors[key].shape)}, the model's is {tuple(own[key].shape)}"
        for key in own
        if key in tensors and tensors[key].shape != own[key].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"the weights in '{name}' are of another architecture: {'; '.join(wrong[:3])}{more}. "
            "Build the model from the checkpoint's own config, or give the checkpoint of this model"
        )
    model.load_state_dict(tensors)
    return model
