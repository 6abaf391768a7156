from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fg_inference import StopScanner

LETTERS = st.text("abc", max_size=20)
STOPS = st.lists(st.text("abc", min_size=1, max_size=4), max_size=3)


def scan(stops, pieces):
    scanner, shown = StopScanner(stops), ""
    for piece in pieces:
        found = scanner.add(piece)
        shown += found.text
        if found.stopped:
            return shown, True
    return shown + scanner.flush(), False


def oracle(stops, text):
    """The stop string that ends first wins, the longer one of two that end together."""
    for end in range(1, len(text) + 1):
        ending = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(ending)], True
    return text, False


@given(stops=STOPS, text=LETTERS, cuts=st.lists(st.integers(0, 20)))
def test_any_division_into_pieces_gives_what_the_whole_text_gives(stops, text, cuts):
    borders = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
    pieces = [text[a:b] for a, b in pairwise(borders)]
    assert scan(stops, pieces) == oracle(stops, text)


@given(stops=STOPS, text=LETTERS)
def test_what_is_shown_early_is_never_part_of_a_stop_string(stops, text):
    scanner, shown = StopScanner(stops), ""
    for letter in text:
        found = scanner.add(letter)
        shown += found.text
        assert oracle(stops, text)[0].startswith(shown)
        if found.stopped:
            break


def test_text_that_cannot_become_a_stop_string_is_not_held_back():
    scanner = StopScanner(["<end>"])
    assert scanner.add("one <e").text == "one "
    assert scanner.add("ating").text == "<eating"
    assert scanner.flush() == ""
