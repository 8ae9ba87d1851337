from fer_bench.bench.statistics import Difference, Interval
from fer_bench.bench.units import MILLIMETRES, PERCENT, PLAIN, number, signed, unit, with_interval


def test_each_metric_has_its_unit() -> None:
    assert unit("classification", "accuracy") is unit("multilabel", "f1_macro") is PERCENT
    assert unit("valence_arousal", "ccc") is PLAIN
    assert unit("disentanglement", "neutral_mean") is MILLIMETRES
    assert unit("disentanglement", "rank1_mesh_mean") is unit("disentanglement", "leak_identity_mean") is PERCENT


def test_numbers_are_written_in_their_unit() -> None:
    assert (number(None), number(0.98765), number(0.98765, MILLIMETRES)) == ("-", "98.77", "0.988")
    interval = Interval(0.9, 1.0, 5, 50)
    assert with_interval(0.95, interval) == "95.00 [90.0, 100.0]"
    assert with_interval(0.95, interval, MILLIMETRES) == "0.950 [0.90, 1.00]"
    assert with_interval(0.95, Interval(None, None, 1, 9)) == with_interval(0.95, None) == "95.00"
    assert with_interval(None, None) == "-"


def test_differences_have_their_sign() -> None:
    interval = Interval(-0.01, 0.03, 5, 50)
    assert signed(Difference(0.01, interval)) == "+1.00 [-1.0, +3.0]"
    assert signed(Difference(-0.5, Interval(None, None, 1, 2)), MILLIMETRES) == "-0.500"
    assert signed(None) == "-"
