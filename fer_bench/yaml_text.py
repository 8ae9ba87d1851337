"""YAML that people write, read so that nothing in it can run, hang or surprise."""

from typing import Any

import yaml

_MOST = 100_000  # nodes, with aliases expanded


class SafeLoader(yaml.SafeLoader):
    """YAML restricted to what settings need.

    Of two equal keys YAML takes the last in silence; what says a thing twice is refused instead. And anchors that stand
    for anchors grow by powers: ten lines can ask for 10^9 values, and one that holds itself for endlessly many.
    """

    def get_single_node(self) -> yaml.Node | None:
        root: yaml.Node | None = super().get_single_node()
        if root is not None and _size(root, {}) > _MOST:
            raise yaml.composer.ComposerError(None, None, f"its aliases stand for more than {_MOST:,} values")
        return root

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        # Keys merged in by `<<: *other` may be overridden.
        own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key, deep=True) for key in own]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(text: str, loader: type[SafeLoader] = SafeLoader) -> Any:
    """Parse a text.

    Raises:
        yaml.YAMLError: It is no YAML, or names a value that there is none of: month 13, a number of 5,000 digits.
    """
    try:
        return yaml.load(text, Loader=loader)  # noqa: S506 - a SafeLoader
    # What pyyaml lets through of its own constructors, and nesting that is too deep for its parser.
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        raise yaml.YAMLError(str(error) or type(error).__name__) from None


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many nodes there are once all aliases are written out."""
    if id(node) not in known:
        known[id(node)] = _MOST + 1  # met again before its size is known, it holds itself
        children = node.value if isinstance(node, yaml.CollectionNode) else ()
        each = (part for child in children for part in (child if isinstance(child, tuple) else (child,)))
        known[id(node)] = 1 + sum(_size(child, known) for child in each)
    return known[id(node)]
