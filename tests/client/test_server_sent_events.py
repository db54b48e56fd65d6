from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.server_sent_events import Message, Parser

STREAM = (
    b'retry: 250\n\n: a comment\nid: 1\ndata: {"a":\ndata:1}\n\n'
    b"event: end\r\nid: 2\r\ndata: \xe2\x80\xa8x\r\n\r\nid: 3\rdata\r\r"
)
MESSAGES = [Message("message", '{"a":\n1}'), Message("end", "\u2028x"), Message("message", "")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_messages_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    parser = Parser()
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(edges)]
    found = [message for piece in [*pieces, b"\n"] for message in parser.feed(piece)]
    assert found == MESSAGES
    assert (parser.last_event_id, parser.retry_seconds) == ("3", 0.25)


def test_the_id_of_a_message_counts_once_the_message_is_whole() -> None:
    parser = Parser()
    list(parser.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n"))
    assert parser.last_event_id == "1"


def test_a_new_connection_forgets_half_a_message() -> None:
    parser = Parser()
    list(parser.feed(b"id: 1\ndata: a\n\ndata: hal"))
    parser.connected()
    assert list(parser.feed(b"data: b\n\n")) == [Message("message", "b")]


@pytest.mark.parametrize("line", [b"id: a\0b", b"retry: soon", b"colour: red", b":"])
def test_a_field_that_means_nothing_changes_nothing(line: bytes) -> None:
    parser = Parser(last_event_id="7")
    parser.connected()
    assert list(parser.feed(line + b"\n\n")) == []
    assert parser == Parser(last_event_id="7", _id="7")
