"""What catches cells that are wrong now and then, see ``test_wrong_plugins``."""

from wrong.expected.number import NUMBER

EXPECTED = {
    "FewRowsOnly": (
        "many_rows_equal_few",
        "A batch of 9, 17 or 33 rows gives what its rows give four at a time.",
        rf"output, rows 16 to 16 of 17: the largest difference is {NUMBER}",
    ),
    "ShortProjection": (
        "long_rows_equal_their_real_steps",
        "A row of 65 or 130 steps of which seven are real gives what the seven give.",
        rf"output, 7 real steps of 65: the largest difference is {NUMBER}",
        "long_rows_equal_their_parts",  # the same bug without a mask
    ),
    "NarrowOnly": (
        "wide_layers_are_whole",
        "With 65 units, rows are what they are alone, and each output follows the input.",
        r"1 of 65 outputs do not follow the input",
    ),
    "WrongBackwardInSingle": (
        "single_precision_gradients_agree",
        "The gradients in float32 are those in float64, to float32's digits.",
        rf"float32 against float64, gradient of .*: the largest difference is {NUMBER}",
    ),
    "StateOfAutocast": (
        "autocast_keeps_the_states_dtype",
        "Under bfloat16 autocast the final state has the dtypes of the initial one.",
        r"the state goes in as \[torch.float32\] and comes out as \[torch.bfloat16\]",
    ),
    "InPlaceForOneRow": (
        "arguments_stay_unchanged",
        "``project`` and ``step`` change neither their input nor the state they are given.",
        rf"state\[0\] was changed in place, by up to {NUMBER}",
    ),
    "OverflowsFarFromZero": (
        "far_states_are_fine",
        "From a state far from zero results are finite, rows stay apart, gradients are exact.",
        r"numbers of output are not finite",
    ),
    "SeldomRandom": (
        "nothing_is_drawn_now_and_then",
        "In inference mode 100 equal runs are equal, and use no random numbers of any library.",
        r"random numbers of python were used in inference mode",
    ),
    "CopiesShareWeights": (
        "copies_are_independent",
        "A deep copy gives the same numbers and has parameters of its own.",
        r"a deep copy shares the memory of cell\.weight_ih",
    ),
    "CountsCalls": (
        "update_is_pure",
        "``update`` gives the same for the same values, in both modes, and changes nothing.",
        r"update changes the cell's calls",
    ),
    "SqueezesOneRow": (
        "small_batches_run",
        "One row, one step, no steps and no rows give outputs of the right shape.",
        r"output, B=1, T=3: expected the shape \[1, 3, 5\], got \[5, 3\]",
    ),
    "FixedDtype": (
        "initial_state_fits",
        "``initial_state`` gives ``[B, ...]`` tensors where, and in the dtype, it is asked for.",
        r"tensor 0 is torch\.float32, and the dtype of the parameters is torch\.float64",
    ),
    "SinglePrecisionInside": (
        "dtypes_are_kept",
        "float32 gives float32, float64 gives float64, and both agree to float32's digits.",
        rf"over steps of 1e-6 and 1e-7 are {NUMBER} apart: digits are lost",
    ),
    "ConstantOnCpu": (
        "step_follows_its_device",
        "The step runs wholly where its parameters are; tried on ``meta``,",
        "a cell on device meta raised RuntimeError: .*cpu",
    ),
}
