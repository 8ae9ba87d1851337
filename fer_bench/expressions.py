"""Canonical expression names, and each dataset's native codes.

Readers translate native codes to names here, and nothing downstream ever compares integers between datasets: the same
number means another expression in nearly every one of them.
"""

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

BOSPHORUS_CODES = {
    "N_N": "neutral",
    "E_HAPPY": "happy",
    "E_SADNESS": "sad",
    "E_SURPRISE": "surprise",
    "E_FEAR": "fear",
    "E_DISGUST": "disgust",
    "E_ANGER": "anger",
}
"""Type and code in Bosphorus' file names; all other codes are action units, rotations or occlusions."""

BU4DFE_CODES = {
    "Happy": "happy",
    "Sad": "sad",
    "Surprise": "surprise",
    "Fear": "fear",
    "Disgust": "disgust",
    "Angry": "anger",
}
"""BU-4DFE's folders."""

BP4D_CODES = {
    "T1": "happy",
    "T2": "sad",
    "T3": "surprise",
    "T4": "embarrassment",
    "T5": "fear",
    "T6": "pain",
    "T7": "anger",
    "T8": "disgust",
}
"""BP4D's tasks, and the emotion that each is meant to elicit."""

FACESCAPE_CODES = {
    "1_neutral": "neutral",
    "2_smile": "smile",
    "3_mouth_stretch": "mouth_stretch",
    "4_anger": "anger",
    "5_jaw_left": "jaw_left",
    "6_jaw_right": "jaw_right",
    "7_jaw_forward": "jaw_forward",
    "8_mouth_left": "mouth_left",
    "9_mouth_right": "mouth_right",
    "10_dimpler": "dimpler",
    "11_chin_raiser": "chin_raiser",
    "12_lip_puckerer": "lip_puckerer",
    "13_lip_funneler": "lip_funneler",
    "14_sadness": "sad",
    "15_lip_roll": "lip_roll",
    "16_grin": "grin",
    "17_cheek_blowing": "cheek_blowing",
    "18_eye_closed": "eye_closed",
    "19_brow_raiser": "brow_raiser",
    "20_brow_lower": "brow_lower",
}
"""FaceScape's file names. A smile on request is no happiness: only three of them are expressions of an emotion."""

AFFECTNET_CODES = {
    0: "neutral",
    1: "happy",
    2: "sad",
    3: "surprise",
    4: "fear",
    5: "disgust",
    6: "anger",
    7: "contempt",
    8: "none",
    9: "uncertain",
    10: "no_face",
}
"""AffectNet's numbers; the last three occur in the lists of 2017 only."""

RAFDB_CODES = {
    1: "surprise",
    2: "fear",
    3: "disgust",
    4: "happy",
    5: "sad",
    6: "anger",
    7: "neutral",
}
"""The numbers of RAF-DB's basic set."""

FOURDME_EMOTIONS = ("positive", "negative", "surprise", "repression", "others")
"""4DME's labels, of which several can hold at once, in the order of FACET-VLM's Table 5."""
