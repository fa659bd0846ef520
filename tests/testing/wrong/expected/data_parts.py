"""What catches each part of ``wrong/data_parts.py``."""

EXPECTED = {
    "TakesMarks": (
        "text_is_no_mark",
        "No text is encoded as a mark",
        "text became <",
        "text_comes_back",
    ),
    "ForgetsLimits": ("ids_are_in_range", "Texts seen and unseen become", r"ids \d+ to \d+ of"),
    "ReadsMarksOut": ("text_comes_back", "The text that ids are decoded to", "marks are read out"),
    "LearnsInAnyOrder": (
        "learning_is_repeatable",
        "The same texts give the same ids",
        "give different ids",
        "saved_and_loaded",
    ),
    "KeepsALambda": (
        "travels_to_other_processes",
        "A tokenizer that has learnt survives",
        "pickle",
    ),
    "LoadsAnything": ("saved_and_loaded", "What ``save`` writes, ``load`` reads", "a file with"),
    "ScalesByTheBatch": ("rows_do_not_mix", "Rows encoded together", "when alone"),
    "DoublePrecision": ("steps_are_as_described", "``encode`` gives ids below", "not float32"),
    "StandsBesideASeries": (
        "steps_are_as_described",
        "``encode`` gives ids below",
        "role is 'step', and info.role 'row'",
    ),
    "ForgetsItsMean": ("saved_and_loaded", "What was fitted survives", "other codes"),
    "GuessesUnknownLabels": (
        "bad_values_are_refused",
        "A value that does not fit",
        "a row with None",
    ),
    "OffByOne": ("answers_are_readable", "The codes of a row are decoded", "read as"),
    "SaysSteps": ("rows_are_as_described", "``encode`` gives what ``layout``", "layout 'steps'"),
}
