"""Drawing the parameters of any module anew."""

from __future__ import annotations

from torch import nn

from seqlab.errors import OptionError


def redraw_parts(owner: nn.Module, *, own: bool) -> None:
    """Draw the parameters of everything inside a module anew, however deep it stands.

    A part that has ``reset_parameters`` is left to that; others are looked into.

    Args:
        owner: the module.
        own: whether parameters of the module itself must be drawn here, too: they cannot be, and
            are refused where they hold more than one value.

    Raises:
        OptionError: a parameter that nothing draws anew; the message names it.
    """
    if own:
        _refuse_bare(owner, owner)
    for part in owner.children():
        _redraw(part, owner)


def _redraw(part: nn.Module, owner: nn.Module) -> None:
    whole = getattr(part, "reset_parameters", None)
    if callable(whole):
        whole()
        return
    rest = getattr(part, "_reset_parameters", None)  # torch's name in attention and transformers
    if not callable(rest):
        _refuse_bare(part, owner)
    for child in part.children():
        _redraw(child, owner)
    if callable(rest):
        rest()


def _refuse_bare(part: nn.Module, owner: nn.Module) -> None:
    """Refuse parameters that would be the same in two layers that are to differ."""
    for name, value in part.named_parameters(recurse=False):
        if value.is_meta or value.numel() < 2 or bool((value == value.flatten()[0]).all()):
            continue
        where = name if part is owner else f"{type(part).__name__}.{name}"
        raise OptionError(
            f"{type(owner).__name__}: nothing draws the parameter {where} anew, as a second layer "
            f"of this form needs; write {type(owner).__name__}.reset_parameters"
        )
