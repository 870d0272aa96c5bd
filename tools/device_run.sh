#!/usr/bin/env bash
# Everything worth doing in a few minutes on a lent GPU machine; see tools/README.md. Options: --help.
cd "$(dirname "$0")/.." && PYTHONUNBUFFERED=1 exec "${PYTHON:-python3}" -m tools.device.run "$@"
