"""What catches the wrong sources, see ``test_wrong_plugins``."""

from wrong.expected.number import NUMBER

EXPECTED = {
    "ShufflesUnseeded": (
        "loading_is_repeatable",
        "A second source with the same options gives the same rows in the same order.",
        rf"train row {NUMBER} is .* the first time and .* the second",
    ),
    "NamesSplitDev": (
        "splits_have_names",
        "``load`` gives a data set dictionary with ``train``, and no names but those three.",
        "splits named dev; known: train, validation, test",
    ),
    "TypesDiffer": (
        "splits_have_the_same_columns",
        "Every split has the same columns, of the same types.",
        "column 'y' is .*int64.* in train and .*string.* in test",
    ),
    "CountsWrong": (
        "identity_is_complete",
        "After loading, ``describe`` states name, origin, licence, digest and true row counts",
        "describe states 10 rows for train, there are 12",
    ),
    "NoDigest": (
        "identity_is_complete",
        "After loading, ``describe`` states name, origin, licence, digest and true row counts",
        "describe lacks digest",
    ),
}
