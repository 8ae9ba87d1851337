from fer_bench.stats.intervals import Difference, Interval
from fer_bench.stats.metric_units import MILLIMETRES, PERCENT, PLAIN, counted, number, signed, unit, with_interval


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


def test_people_whom_nobody_counted_are_no_subjects() -> None:
    assert counted(2400, 60, named=True) == counted(2400, 60, named=False) == "2,400 of 60 subjects"
    assert counted(5, 5, named=True) == "5 of 5 subjects"
    assert counted(5, 1, named=False) == "5 of 1 subject"
    assert counted(3999, 3999, named=False) == "3,999 of people not named"
    assert counted(None, None, named=True) == "-"
