"""From a spec to a registered tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from seqlab import registry
from seqlab.construct import check_options, construct, split_spec
from seqlab.data.tokenizers.base import Tokenizer
from seqlab.data.tokenizers.marks import INPUT_MARKS
from seqlab.errors import OptionError, UnknownNameError


def build_tokenizer(
    spec: str | Mapping[str, Any],
    marks: Sequence[str] = INPUT_MARKS,
    *,
    takes: Literal["text", "tokens"] = "text",
) -> Tokenizer:
    """The registered tokenizer a spec names, which has learnt nothing yet.

    Args:
        spec: its name, or a mapping with its options; ``name`` may be left out for the usual
            one: ``words`` for text, ``tokens`` for what is split already.
        marks: the entries with the first ids.
        takes: what it will be given.

    Raises:
        OptionError: an option is unknown or wrong, or the tokenizer takes something else.
        UnknownNameError: there is no such tokenizer.
    """
    usual = "words" if takes == "text" else "tokens"
    named = {"name": usual, **spec} if isinstance(spec, Mapping) else spec
    name, options = split_spec("tokenizer", named, "tokenizer")
    try:
        registry.get("tokenizer", name)
    except UnknownNameError as error:
        raise OptionError(f"tokenizer.name: {error}") from error
    tokenizer: Tokenizer = construct("tokenizer", named, marks, where="tokenizer")
    options = check_options("tokenizer", name, options, given=1, where="tokenizer", complete=True)
    tokenizer.spec = {"name": name, **options}
    if tokenizer.takes != takes:
        raise OptionError(
            f"tokenizer: '{name}' splits text, and tokens are split already; give its name as "
            "'tokens', or choose kind: text"
            if takes == "tokens"
            else f"tokenizer: '{name}' takes text that is split already; choose kind: tokens"
        )
    return tokenizer
