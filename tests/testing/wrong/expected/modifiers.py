"""What catches the wrong modifiers, see ``test_wrong_plugins``."""

from wrong.expected.number import NUMBER

FORM = "It returns both groups with the fields and shapes that they came with, however few"
EXPECTED = {
    "AddsUp": ("keeps_the_form", FORM, "it gives Gates$"),
    "ReadsTooEarly": ("keeps_the_form", FORM, "there is no gate 'add' here, but none"),
    "Passes": ("has_an_effect", "Something differs from what came in.", "parts by 0$"),
    "MeanOverUnits": (
        "is_elementwise",
        "Row i and unit k of the result depend on row i and unit k alone.",
        rf"after that was moved by 0.7: the largest difference is {NUMBER}",
    ),
    "Noisy": (
        "is_pure",
        "The same values give the same, in training too,",
        "the second of two calls with the same values gives others",
    ),
    "UnreadVector": (
        "parameters_get_gradients",
        "In an LSTM every parameter gets a finite gradient that is not zero, and is registered.",
        "parameter 'cell.modifier.shift_\\w+' gets no gradient",
    ),
    "NeverDrawn": (
        "draws_anew",
        "``reset_parameters`` brings every parameter back",
        "gain is not drawn anew",
    ),
}
