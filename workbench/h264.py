"""How H.264 is written so that the same pictures give the same bytes, on each run and on each processor.

With several threads x264's rate control now and then decides otherwise, and so do its routines for this or that
processor. Clips are known, cached and put on their side of a split by what their bytes are.
"""

from __future__ import annotations

SAME_BYTES = {"threads": "1", "x264-params": "cpu-independent=1"}
"""Options of the encoder libx264. They cost no speed at the sizes written here."""
