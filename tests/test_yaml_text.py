"""YAML that people write: what it says, or a YAMLError, and soon."""

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.yaml_text import read_yaml

SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab: ", max_size=4)
CONTENTS = st.recursive(SCALARS, lambda each: st.lists(each) | st.dictionaries(st.text("abc", max_size=2), each))


def powers(first: str, form: str, count: int = 9) -> str:
    """A list of anchors, each of which names the one before nine times."""
    lines = [f"- &a0 {first}"]
    return "\n".join(lines + [f"- &a{i} {form.format(','.join([f'*a{i - 1}'] * 9))}" for i in range(1, count)])


@settings(max_examples=50)
@given(content=CONTENTS)
def test_what_was_written_is_read(content: object) -> None:
    assert read_yaml(yaml.safe_dump(content)) == content


def test_aliases_and_merges_are_for_use() -> None:
    assert read_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]")["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    "text",
    [powers("[x]", "[{}]"), powers("{x: 1}", "{{<<: [{}]}}"), "a: &a [*a]", "a: &a {b: *a}", "&a [{b: [*a, *a]}]"],
    ids=["lists", "merges", "itself", "itself-below", "itself-twice"],
)
def test_aliases_that_grow_by_powers_or_without_end_are_refused_at_once(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(yaml.YAMLError, match="aliases stand for more than 100,000 values"):
        read_yaml(text)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "text",
    [
        *("a: 2020-13-45", "a: !!int b", "a: !!float b", "a: !!bool b", "a: !!timestamp b", f"a: {'9' * 5000}"),
        *("[" * 1500, "{a: " * 1500 + "1" + "}" * 1500, "a: 1\na: 2", "!!python/object/apply:os.system [id]"),
    ],
)
def test_whatever_cannot_be_read_is_the_same_kind_of_error(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)


@given(text=st.text("ab:-&*<[]{}!|>?'\"#%, \n\t0e.", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_yaml(text)
    except yaml.YAMLError as error:
        assert str(error)
