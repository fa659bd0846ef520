"""What catches the wrong merges, poolings, attentions and searches, see ``test_wrong_plugins``."""

from wrong.expected.number import NUMBER

EXPECTED = {
    "WideMerge": (
        "output_size_is_true",
        "Sequences and single vectors give ``output_size`` features;",
        r"by output_size: expected the shape \[2, 5, 8\], got \[2, 5, 4\]",
    ),
    "LambdaMerge": (
        "survives_pickling",
        "Pickled, copied and saved by torch, it gives the same.",
        r"^pickle raised \w+: .*<lambda>",
    ),
    "BiasedMerge": (
        "zeros_claim_is_true",
        "``keeps_zeros`` says whether two zeros give zero;",
        rf"keeps_zeros is True, and zeros give values up to {NUMBER}",
    ),
    "SwappedMerge": (
        "sides_are_true",
        "With ``side_by_side`` the output is forward, then backward;",
        rf"side by side: forward, then backward: the largest difference is {NUMBER}",
    ),
    "ForwardOnly": (
        "sides_are_true",
        "With ``side_by_side`` the output is forward, then backward;",
        "moving backward by 1 moves the output by 0",
    ),
    "SoftmaxOverTime": (
        "steps_do_not_mix",
        "One step of one row gives what it gives alone.",
        rf"step 2 of row 0 alone: the largest difference is {NUMBER}",
    ),
    "LastColumn": (
        "padding_is_ignored",
        "NaN in the padding and more of it change nothing; rows without steps give zeros.",
        rf"2 more padded steps: the largest difference is {NUMBER}",
    ),
    "LastInTime": (
        "last_is_the_final_state",
        "Where it takes the last output, the backward half is taken at its own last step, t = 0.",
        rf"against the final state: the largest difference is {NUMBER}",
    ),
    "MeanOverAll": (
        "padding_is_ignored",
        "NaN in the padding and more of it change nothing; rows without steps give zeros.",
        rf"2 more padded steps: the largest difference is {NUMBER}",
    ),
    "AttendsToPadding": (
        "weights_are_a_mean",
        "Weights are at least 0, 0 at padded steps, and add up to 1 where a step is real.",
        rf"a padded step has the weight {NUMBER}",
    ),
    "OverLimit": (
        "answers_are_well_formed",
        "Answers keep to each row's limit and hold neither begin nor end marks.",
        r"answers of \[5, 1, 2, 0\] tokens, and the limits are \[4, 0, 1, 6\]",
    ),
    "NoEndScore": (
        "scores_are_log_probabilities",
        "The score of an answer is the log probability of its tokens and of the end mark.",
        rf"scores: the largest difference is {NUMBER}",
    ),
}
