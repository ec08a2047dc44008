"""The watermark of written code: a lean towards a keyed half of the vocabulary, and the test that finds it again.

`lean.py` puts it on, `detect.py` finds it, `green.py` is the keyed half, `statistics.py` what a count of hits says.
"""

from buril.serve.watermark.detect import Scored, Verdict, pooled
from buril.serve.watermark.green import Green
from buril.serve.watermark.lean import Settings, Watermark, marked

__all__ = ["Green", "Scored", "Settings", "Verdict", "Watermark", "marked", "pooled"]
