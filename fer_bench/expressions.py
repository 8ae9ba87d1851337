"""Canonical expression names, and each dataset's native codes.

Readers translate native codes to names here, and nothing downstream ever compares integers between datasets: the same
number means another expression in nearly every one of them.
"""

from __future__ import annotations

EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
"""The canonical names, in AffectNet's order."""

BASIC_SIX = ("anger", "disgust", "fear", "happy", "sad", "surprise")
"""The six prototypical expressions, in the alphabetical order in which the 3D literature tabulates them."""

BU3DFE_CODES = {
    "NE": "neutral",
    "HA": "happy",
    "SA": "sad",
    "SU": "surprise",
    "FE": "fear",
    "DI": "disgust",
    "AN": "anger",
}
"""Two-letter codes in BU-3DFE's file names."""
