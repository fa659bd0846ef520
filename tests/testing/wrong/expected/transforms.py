"""What catches each part of ``wrong/transforms.py``."""

EXPECTED = {
    "SwallowsOptions": ("constructor", "It is a documented ``Transform``", "no_such_option=1"),
    "ForgetsAColumn": ("rows_are_rows", "Rows are made of the sample rows", "columns .* after"),
    "HidesAColumn": ("columns_are_told", "With the columns alone", "column 'tokens' is missing"),
    "ChangesItsInput": ("given_rows_stay", "The rows given are not changed", "rows given are ch"),
    "MixesNeighbours": ("rows_do_not_mix", "What is made of a row", "a row alone gives other"),
    "TurnsTheSplit": ("rows_come_in_their_order", "Rows are made in the order", "made of .9, 8"),
    "CrashesOnBadRows": (
        "bad_values_name_their_row",
        "A value that does not fit",
        "'tokens' is None: TypeError",
    ),
    "NeedsARow": (
        "rows_to_predict_are_taken",
        "Rows of the split ``predict``",
        "IndexError",
    ),
    "ForgetsTheMean": ("saved_and_loaded", "What was learnt survives", "other rows after loading"),
    "KeepsALambda": (
        "travels_to_other_processes",
        "A fitted transform survives",
        "pickle",
    ),
    "DrawsAtRandom": (
        "given_rows_stay",
        "The rows given are not changed",
        "second pass makes other rows",
        "columns_are_told",
        "rows_do_not_mix",
        "saved_and_loaded",
        "travels_to_other_processes",
    ),
}
