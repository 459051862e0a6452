import pytest

from mailsync_grpc.imap.answer import MalformedError, parse_nodes, split_answer, unquote


def test_literals_become_placeholders_so_that_each_response_is_one_line() -> None:
    lines, literals = split_answer(b"* 1 FETCH (X {4}\r\na\r\nb Y ~{1}\r\nc)\r\n* 2 EXISTS\r\n")
    assert lines == ['* 1 FETCH (X "\x000" Y "\x001")', "* 2 EXISTS", ""]
    assert literals == [b"a\r\nb", b"c"]


def test_a_servers_own_nul_cannot_stand_for_a_literal() -> None:
    lines, literals = split_answer(b'* 1 FETCH (X "\x000" Y {3}\r\n\x00ab)\r\n')
    assert lines[0] == '* 1 FETCH (X "0" Y "\x000")'
    assert literals == [b"\x00ab"]


def test_a_literal_cut_short_gives_what_is_there() -> None:
    assert split_answer(b"* 1 FETCH (X {10}\r\nabc").literals == [b"abc"]


def test_nested_values_are_read_with_nil_escapes_and_section_names() -> None:
    nodes = parse_nodes(r'(a NIL ("b \"c\" \\" nil) "NIL" "") BODY[HEADER.FIELDS (X Y)]<0> 5', [])
    assert nodes == [["a", None, ['b "c" \\', None], "NIL", ""], "BODY[HEADER.FIELDS (X Y)]<0>", "5"]


@pytest.mark.parametrize("text", ["(", "(()", ")", "())", '("a', '"', '(a "b)'])
def test_unbalanced_text_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_nodes(text, [])


def test_deep_body_is_read_without_recursion() -> None:
    depth = 100_000
    node = parse_nodes("(" * depth + ")" * depth, [])[0]
    for _ in range(depth - 1):
        assert isinstance(node, list)
        (node,) = node
    assert node == []


def test_a_token_stands_for_its_string() -> None:
    assert [unquote(text, [b"lit"]) for text in ('"a\\"b"', "NIL", '"\x000"', '""')] == ['a"b', "", "lit", ""]
