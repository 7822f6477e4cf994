"""JupyterLab as ``imt lab`` and ``imt worker`` start it: ``python -m jupyterlab``, and sooner."""

from __future__ import annotations

import sys

from imtkit.runs.later import put_off_checks

if __name__ == "__main__":
    put_off_checks()

    from jupyterlab.labapp import main

    sys.exit(main())
