"""Protocols on FaceScape: 847 subjects, 20 expressions each, registered meshes."""

from fer_bench.protocols.base import Protocol
from fer_bench.protocols.divisions import subject_split

# Drawn as the paper's public code seems to draw: 30 % of the 846 subjects with `random.seed(50)`, then the ten
# publishable ones forced in. Python 3.11 refuses the code's `random.sample` of a set; of the sorted list it is the same
# draw if subjects were whole numbers there and none was missing.
TEST_SUBJECTS = tuple(
    """
    2 6 7 10 12 17 20 28 29 31 32 35 40 46 49 50 51 52 53 55 66 70 71 81 88 90 91 92 96 101 102 103 109 110 115 117 118
    119 121 122 125 126 129 130 136 141 147 149 150 153 154 157 162 164 167 172 184 190 194 197 200 202 204 206 212 215
    222 228 229 230 233 234 237 243 247 248 252 254 255 256 257 262 263 269 271 277 278 284 289 290 292 296 302 306 308
    309 314 315 316 319 323 325 328 334 337 338 340 343 344 345 346 356 357 365 367 372 377 386 388 389 390 393 395 401
    413 414 421 422 429 432 438 440 441 443 445 447 454 455 472 477 480 482 485 492 497 498 505 506 507 509 511 512 513
    520 527 529 530 531 532 536 538 542 545 546 547 549 552 553 557 559 571 573 574 575 576 581 585 587 588 592 593 594
    596 602 605 610 620 621 624 628 640 641 642 643 646 649 652 656 660 662 665 667 671 676 685 690 692 694 699 700 701
    702 709 710 712 714 718 719 725 728 736 739 745 749 760 765 767 774 781 784 786 787 789 791 797 811 814 816 818 822
    828 829 830 831 835 836 837 838 840 841 842 846 847
    """.split()  # noqa: SIM905 (a list would take a line a subject)
)
_OUTLIER = "603"

PROTOCOLS = (
    Protocol(
        name="facescape-identity",
        version=1,
        task="disentanglement",
        datasets=("facescape",),
        classes=(),
        selects=lambda index: ~index["subject"].isin([_OUTLIER]),
        divides=lambda index: subject_split(index, TEST_SUBJECTS, salt="facescape-identity"),
        num_folds=1,
        unit="mesh",
        source=(
            "Face disentanglement Table III: 30 % of the subjects are tested, the others train; subject 603 is left "
            "out as an outlier. The paper publishes no list; the 253 subjects here are what its public code most "
            "likely draws from all 846. It counts 11,812 training and 5,055 test meshes and evaluates the last epoch; "
            "59 of the 593 training subjects validate here."
        ),
        expected=16920,
        uncertain=(
            "Whether the paper's copy had all 846 subjects, without which the draw is another. "
            "Which 13 further meshes the paper removed as outliers, and which about 40 of the nominal 16,940 its copy "
            "lacked."
        ),
    ),
)
