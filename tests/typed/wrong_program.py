"""Calls that a type checker refuses, each with the line's own error code; what it does not refuse it complains of."""

from __future__ import annotations

import numpy as np

import diffcodec

picture = np.zeros((4, 4), np.uint8)
diffcodec.encode(picture, "jpeg")  # type: ignore[arg-type]
diffcodec.encode(picture, strip="some")  # type: ignore[arg-type]
diffcodec.decode(b"", reconstruction="sharp")  # type: ignore[arg-type]
diffcodec.inspect(b"")["wdith"]  # type: ignore[typeddict-item]
diffcodec.inspect_archive(b"")["groups"][0]["size"]  # type: ignore[typeddict-item]
diffcodec.decode_archive(b"", damaged="keep")  # type: ignore[call-overload]
diffcodec.restore(picture, "sharpen")  # type: ignore[call-overload]
diffcodec.decode_signal(b"", medium="song")  # type: ignore[call-overload]
diffcodec.list_models()[0]["weight"]  # type: ignore[typeddict-item]
diffcodec.encode_files("a.png", quality=3)  # type: ignore[call-arg]
diffcodec.encode_files("a.png", effort="most")  # type: ignore[arg-type]
diffcodec.encode_files("a.png", engine="dask")  # type: ignore[arg-type]
