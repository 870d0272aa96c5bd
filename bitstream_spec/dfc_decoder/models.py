"""SPEC.md §6: weights files and their fingerprints, and which network reads them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from .refused import refuse

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I32": "<i4", "I16": "<i2", "I8": "<i1"}
WHITE = hashlib.sha256(b"white").digest()  #: fingerprint of the test model of NETWORKS.md


def safetensors(data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file: 8 bytes of length, JSON, then the values."""
    size = int.from_bytes(data[:8], "little")
    table, values = json.loads(data[8 : 8 + size]), data[8 + size :]
    out = {}
    for name, entry in table.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            out[name] = np.frombuffer(values[start:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return out


def fingerprint(config: dict[str, Any], weights: bytes) -> bytes:
    text = json.dumps(config, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(len(text).to_bytes(8, "little") + text + weights).digest()


class Models:
    """The models of a folder of cards (.json) and weights (.safetensors), loaded when they are asked for."""

    def __init__(self, *folders: str | Path):
        self.paths = [path for folder in folders for path in sorted(Path(folder).glob("*.json"))]
        self.loaded: dict[Path, tuple[bytes, dict[str, Any], dict[str, np.ndarray]]] = {}

    def find(self, prefix: bytes, name: str = "") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(configuration, tensors) of the model whose fingerprint starts with these bytes."""
        if WHITE.startswith(prefix):
            return {"architecture": "white"}, {}
        for path in self.paths:
            if path not in self.loaded:
                weights, config = path.with_suffix(".safetensors").read_bytes(), json.loads(path.read_text())["config"]
                self.loaded[path] = fingerprint(config, weights), config, safetensors(weights)
            own, config, tensors = self.loaded[path]
            if own.startswith(prefix):
                return config, tensors
        if name in ("white", *(path.stem for path in self.paths)):
            refuse("ModelMismatch", f"{name} has another fingerprint than {prefix.hex()}")
        refuse("ModelNotFound", f"no model of fingerprint {prefix.hex()}")
