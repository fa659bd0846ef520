"""What targets are called: one target has no name, several are told apart by theirs."""

from __future__ import annotations

#: The name of a sole target among targets by name.
SOLE = ""
#: What heads call the table of classes among the metrics they are to update.
CLASS_TABLE = "class table"


def target_key(name: str, where: str = "data") -> str:
    """The config key of a target.

    >>> target_key(SOLE), target_key("upos")
    ('data.target', 'data.targets.upos')
    """
    return f"{where}.target" if name == SOLE else f"{where}.targets.{name}"


def metric_name(target: str, metric: str) -> str:
    """What a metric of a target is called: of several, the target's name comes first.

    >>> metric_name(SOLE, "accuracy"), metric_name("upos", "accuracy")
    ('accuracy', 'upos_accuracy')
    """
    return metric if target == SOLE else f"{target}_{metric}"
