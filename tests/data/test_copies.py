from fer_bench.data.copies import one_copy


def test_two_copies_are_never_mixed() -> None:
    copies = {
        "a": {"wrl": "a/1.wrl"},
        "b": {"wrl": "b/1.wrl", "bmp": "b/1.bmp"},
        "c": {"wrl": "c/1.wrl", "bnd": "c/1.bnd"},
    }
    assert one_copy(copies, "wrl") == (copies["b"], ["a/1.wrl", "c/1.bnd", "c/1.wrl"])


def test_what_lies_in_a_folder_of_its_own_is_joined() -> None:
    copies = {"marks": {"bnd": "marks/1.bnd"}, "b": {"wrl": "b/1.wrl"}, "z": {"bnd": "z/1.bnd"}}
    assert one_copy(copies, "wrl") == ({"wrl": "b/1.wrl", "bnd": "marks/1.bnd"}, ["z/1.bnd"])


def test_without_the_needed_file_there_is_what_there_is() -> None:
    assert one_copy({"a": {"bmp": "a/1.bmp"}}, "wrl") == ({"bmp": "a/1.bmp"}, [])
