"""calibrate: where passes of a diffusion model are to lie, measured on pictures."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .. import api
from . import console
from .options import Device, Json, Overwrite, Quiet, allow_large_pictures, model_names
from .pipes import read


def calibrate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A bundled model's name, a path to one, or diffusers:FOLDER of a saved pipeline.",
            autocompletion=model_names,
        ),
    ],
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE", help="Pictures of its kind, none that is to be judged by.")
    ],
    *,
    loss: Annotated[
        float, typer.Option(min=0, max=1, help="Share of all bits that few passes may cost more than many.")
    ] = 0.05,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="Where it is kept (beside the model).")
    ] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure where passes of a diffusion model are to lie, for the fewest network calls; encode finds it."""
    console.hush(quiet)
    allow_large_pictures()
    from .. import files

    with console.interruptible(lambda: "nothing is written, and nothing is kept: begin again"):
        with console.bar("reading"):
            signals = [files.read_signal(read(name), first=True) for name in images]
        with console.bar("calibrating") as progress:
            told = api.calibrate(
                model, signals, loss=loss, device=device, out=out, overwrite=overwrite, progress=progress
            )
    if as_json:
        print(json.dumps(told))
    else:
        _show(told)
        console.tell(f"{told['file']}: '{told['model']}' calibrated on {told['pictures']} pictures")


def _show(told: api.CalibrationTold) -> None:
    print(f"{'log-SNR':>14}  {'mean square':>11}  bits per pixel")
    for one in told["profile"]:
        print(f"{one['start']:6.1f} to {one['end']:5.1f}  {one['mean_square']:11.3g}  {one['bpp']:.5f}")
    if told["ceiling"] is not None:
        print(f"\nthe autoencoder alone leaves {told['ceiling']:.2f} dB of these pictures, at any rate")
    print(f"\npasses of a picture of {told['width']}×{told['height']} pixels, and without the calibration")
    print(f"{'bpp':>5} {'calls':>6} {'bits':>7}   {'calls':>6} {'bits':>7}   at log-SNR")
    for plan in told["plans"]:
        own = f"{plan['calls']:6} {plan['over_percent']:+6.1f}%"
        plain = f"{plan['plain_calls']:6} {plan['plain_over_percent']:+6.1f}%"
        print(f"{plan['bpp']:5g} {own}   {plain}  ", *(f"{level:.1f}" for level in plan["positions"]))
