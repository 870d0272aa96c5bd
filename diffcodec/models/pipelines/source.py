"""Where pipelines come from: `diffusers:FOLDER`, `diffusers:OWNER/NAME@REVISION`, with options, and objects.

Nothing is fetched unless it is asked for, only safetensors are loaded, and no code comes along.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from logging import ERROR
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import torch

from ...runtime.errors import InputError, ModelMismatch, ModelNotFound
from ...runtime.recorded import MOST_BYTES, recordable
from ..architectures import fingerprint_of, first_line
from ..network import fingerprint_of_weights
from ..protocols import device_of
from ..settings import outside_inference
from .model import Identity, Opened, PipelineModel, row_named

INDEX = "model_index.json"
FILES = ("*.json", "*.safetensors", "*.txt", "*.model")  #: what a pipeline is made of here: configurations, weights
LIBRARIES = ("diffusers", "transformers")  #: whose classes a component may be of
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


# ---- options behind the name: diffusers:FOLDER?dtype=bfloat16&tiling=yes


def _chosen(values: Mapping[str, Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        if text not in values:
            raise InputError(f"expected {', '.join(values)}, found {text!r}")
        return values[text]

    return read


def _count(text: str) -> int:
    if not text.isdecimal():
        raise InputError(f"expected a number, found {text!r}")
    return int(text)


_YES = _chosen({"yes": True, "no": False})


@dataclass(frozen=True)
class Options:
    """dtype: what networks multiply. tiling: the autoencoder works in tiles. offload: parts wait in main memory.

    variant: of the files of weights, "fp16". label: a class of pictures. download: what is not here may be fetched.
    """

    dtype: torch.dtype = torch.float32
    tiling: bool = False
    offload: bool = False
    variant: str | None = None
    label: int | None = None
    download: bool = False

    @classmethod
    def of(cls, text: str) -> Options:
        """Of NAME=VALUE&…. Raises InputError."""
        read: dict[str, Callable[[str], Any]] = {
            "dtype": _chosen(DTYPES), "tiling": _YES, "offload": _YES, "download": _YES, "variant": str, "label": _count
        }  # fmt: skip
        told = parse_qsl(text, keep_blank_values=True)
        unknown = next((name for name, _ in told if name not in read), None)
        if unknown is not None:
            raise InputError(f"no option {unknown!r} of a pipeline: expected {', '.join(read)}")
        return cls(**{name: read[name](value) for name, value in told})


# ---- a folder, or a snapshot of the hub


def load(text: str, device: str) -> PipelineModel:
    """The provider of a folder of a saved pipeline, or of a hub id: OWNER/NAME[@REVISION], each with ?options.

    A hub id means what is in the local cache, unless ``download=yes``; its name in streams has the revision.
    Raises ModelNotFound, ModelMismatch, InputError.
    """
    place, options = (text, "") if Path(text).is_dir() else text.partition("?")[::2]
    wanted = Options.of(options)
    folder, name = _located(place, wanted)
    return _model(folder, name, wanted, torch.device(device_of(device)))


def _located(place: str, wanted: Options) -> tuple[Path, str]:
    """(folder, name that a stream records)."""
    if Path(place).is_dir():
        return Path(place), recorded(Path(place).resolve().name)
    owner, _, revision = place.partition("@")
    if owner.count("/") != 1 or owner.startswith((".", "/", "~")):
        raise ModelNotFound(f"no folder '{place}': expected one with a {INDEX}, or OWNER/NAME[@REVISION]")
    folder = _snapshot(owner, revision or None, wanted.download)
    return folder, recorded(f"{owner.replace('/', ':')}@{folder.name[:12]}")


def _snapshot(owner: str, revision: str | None, download: bool) -> Path:
    """The folder of a revision, by its commit's name."""
    from huggingface_hub import snapshot_download

    try:
        patterns = [*FILES, *(f"*/{one}" for one in FILES)]
        return Path(snapshot_download(owner, revision=revision, local_files_only=not download, allow_patterns=patterns))
    except Exception as error:  # a library of networks fails in many ways
        how = "" if download else "; nothing is fetched without ?download=yes"
        raise ModelNotFound(f"no pipeline '{owner}' of revision {revision or 'main'} here{how}") from error


def recorded(name: str) -> str:
    """A name that a stream can record: itself, cut to what fits, or "pipeline"."""
    cut = name.encode()[:MOST_BYTES].decode(errors="ignore")
    return cut if recordable(cut) else "pipeline"


def _model(folder: Path, name: str, wanted: Options, device: torch.device) -> PipelineModel:
    index = _index(folder)
    row = row_named(index.get("_class_name"))
    parts = {part: told for part, told in index.items() if isinstance(told, list) and part not in row.unused}
    for part, told in parts.items():
        if not part.isidentifier():
            raise ModelMismatch(f"its {INDEX} names a part {part!r}, which is no folder of it")
        if told[0] is not None and told[0] not in LIBRARIES:
            raise ModelMismatch(f"its {part} is of {told[0]}, and no code but that of {' and '.join(LIBRARIES)} is run")
    files = {str(path.relative_to(folder).as_posix()): path for path in sorted(_files(folder, parts))}
    chosen = {} if wanted.label is None else {"label": wanted.label}
    identity = Identity(name, fingerprint_of(files, chosen))
    absent = [part for part, told in index.items() if part in row.unused or told == [None, None]]
    pipe = _opened(folder, index, absent, wanted, device)
    return Opened.of(pipe, identity, device).model(wanted.label)


def _index(folder: Path) -> dict[str, Any]:
    try:
        index = json.loads((folder / INDEX).read_bytes())
    except FileNotFoundError:
        raise ModelNotFound(f"'{folder}' has no {INDEX}: it is no saved pipeline") from None
    except (OSError, ValueError) as error:
        raise ModelMismatch(f"the {INDEX} of '{folder}' cannot be read: {first_line(error)}") from error
    if not isinstance(index, dict):
        raise ModelMismatch(f"the {INDEX} of '{folder}' is no table")
    return index


def _files(folder: Path, parts: Mapping[str, Any]) -> Iterator[Path]:
    """Every configuration, vocabulary and weight of what is loaded."""
    yield folder / INDEX
    for part in parts:
        for pattern in FILES:
            yield from (folder / part).rglob(pattern)


def _opened(folder: Path, index: Mapping[str, Any], absent: list[str], wanted: Options, device: torch.device) -> Any:
    kind = _class(index["_class_name"])
    more = {"variant": wanted.variant} if wanted.variant else {}
    checks = {"requires_safety_checker": False} if "safety_checker" in absent else {}
    # without accelerate numbers are drawn for weights before the files' own take their place
    with outside_inference(), torch.device("cpu"), torch.random.fork_rng(devices=[]), _quiet():
        pipe = kind.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, torch_dtype=wanted.dtype, **more, **checks,
            **dict.fromkeys(absent),
        )  # fmt: skip
        pipe.set_progress_bar_config(disable=True)
        _placed(pipe, wanted, device)
    return pipe


def _class(name: str) -> Any:
    """Of diffusers; its imports tell of parts that are not here, which nobody asked for."""
    import diffusers
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity(ERROR)
    try:
        return getattr(diffusers, name)
    finally:
        logging.set_verbosity(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' own bars, and their notes on names of arguments that are to change."""
    logs = [module.logging for module in (importlib.import_module(f"{name}.utils") for name in LIBRARIES)]
    for log in logs:
        log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for log in logs:
            log.enable_progress_bar()


def _placed(pipe: Any, wanted: Options, device: torch.device) -> None:
    row = row_named(type(pipe).__name__)
    vae = None if row.autoencoder is None else getattr(pipe, row.autoencoder)
    if vae is not None and wanted.dtype == torch.float16 and vae.config.get("force_upcast", False):
        vae.to(torch.float32)  # whose sums leave the range of float16
    if wanted.tiling and vae is not None:
        vae.enable_tiling()
    if wanted.offload and device.type != "cpu":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)


# ---- objects


def provider(pipe: object, name: str | None = None, label: int | None = None) -> PipelineModel:
    """The provider of a pipeline object of diffusers, where and as it is; weights and configurations are digested.

    name: what streams record; None: its class's, or that of its folder. Raises ModelMismatch, InputError.
    """
    pipeline: Any = pipe
    row = row_named(type(pipe).__name__)
    network = getattr(pipeline, row.network)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    told = Path(str(pipeline.config.get("_name_or_path") or "")).name
    identity = Identity(recorded(name or told or type(pipe).__name__), _digest(pipeline, row.unused, label))
    return Opened.of(pipeline, identity, network.device).model(label)


def _digest(pipe: Any, unused: tuple[str, ...], label: int | None) -> bytes:
    """SHA-256 over weights and configurations of every part, and the files that a tokenizer is saved as."""
    files: dict[str, bytes | Path] = {}
    with tempfile.TemporaryDirectory() as folder:
        for part, component in sorted(pipe.components.items()):
            if component is None or part in unused:
                continue
            if isinstance(component, torch.nn.Module):
                files[part] = fingerprint_of_weights(component.state_dict(), _told(component.config))
            else:
                component.save_pretrained(f"{folder}/{part}")
                saved = (path for path in Path(folder, part).rglob("*") if path.is_file())
                files |= {path.relative_to(folder).as_posix(): _at_rest(path.read_bytes()) for path in saved}
        return fingerprint_of(files, {"class": type(pipe).__name__, "label": label})


def _at_rest(file: bytes) -> bytes:
    """Of a tokenizer, without how it was last asked to fill and to cut texts, which it is told again each time."""
    try:
        table = json.loads(file)
    except ValueError:
        return file
    if isinstance(table, dict):
        table = {key: table[key] for key in table if key not in ("padding", "truncation")}
    return json.dumps(table, sort_keys=True).encode()


def _told(config: Any) -> str:
    """A configuration as text, but for where it came from."""
    table = config if isinstance(config, Mapping) else config.to_dict()
    return json.dumps({key: table[key] for key in sorted(table) if not key.startswith("_")}, default=str)
