from seqlab.data.splitting import is_blank, words_of


def test_words_end_at_ascii_spaces_only():
    assert words_of(" a\tb\u00a0c\u3000d  e\r\nf\x1cg\u2028h ") == [
        "a", "b\u00a0c\u3000d", "e", "f\x1cg\u2028h",
    ]  # fmt: skip
    assert words_of("a\x1cb c") == ["a\x1cb", "c"]
    assert words_of(" a  b ") == ["a", "b"]
    assert words_of("") == words_of(" \t\n") == []
    assert is_blank("\t \n")
    assert not is_blank("\u00a0")
