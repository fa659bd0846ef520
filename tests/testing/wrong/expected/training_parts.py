"""What catches each part of ``wrong/training_parts.py``."""

EXPECTED = {
    "ClimbsTheLoss": ("loss_falls", "With its own options it lowers", "after 200 steps"),
    "CountsOutside": (
        "goes_on_as_if_never_stopped",
        "Made again from its saved state",
        "other weights 13 steps after",
    ),
    "KeepsItsFirstRate": ("rate_of_a_group_is_heeded", "A group whose ``lr`` is 0", "lr = 0"),
    "GoesBelowNothing": ("factors_are_finite", "Every step of the run", "the factor of step 11"),
    "CountsItsCalls": (
        "factor_is_a_function_of_the_step",
        "Asked backward and by a new object",
        "depend on what was asked",
        "resumed_rates_are_the_same",  # for the same reason
    ),
    "HidesTheLength": (
        "length_is_used_as_it_says",
        "Without ``needs_length``",
        "set needs_length = True",
    ),
    "ForgetsItsCount": (
        "resumed_run_is_the_unbroken_one",
        "A run that is broken off and resumed",
        "is another one after the run was resumed",
    ),
    "SavesAnObject": (
        "resumed_run_is_the_unbroken_one",
        "A run that is broken off and resumed",
        r"callback 'part-under-test' cannot be saved: state\['range'\] is a range",
    ),
    "KnowsItsColumns": ("rows_are_taken", "Rows with other names", "unknown columns"),
}
