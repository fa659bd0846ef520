"""What catches the wrong wrappers, see ``test_wrong_plugins``."""

from wrong.expected.number import NUMBER

EXPECTED = {
    "NeverReverses": (
        "directions_are_true",
        "What it calls forward sees the past, what it calls backward sees the future.",
        r"the backward half \(5 wide\) does not see the last step at .* by 0$",
    ),
    "FlipsPadding": (
        "padding_is_ignored",
        "NaN in the padding and more padding change no output, final state or gradient.",
        rf"3 more padded steps: the largest difference is {NUMBER}",
    ),
    "LosesPlace": (
        "padding_is_ignored",
        "NaN in the padding and more padding change no output, final state or gradient.",
        rf"3 more padded steps: the largest difference is {NUMBER}",
    ),
    "IgnoresMask": (
        "padding_is_ignored",
        "NaN in the padding and more padding change no output, final state or gradient.",
        rf"final state, 3 more padded steps, .*: the largest difference is {NUMBER}",
    ),
    "DropoutAtInference": (
        "inference_is_deterministic",
        "In inference mode two runs give the same numbers, whatever torch's seed.",
        rf"the second of two runs at inference: the largest difference is {NUMBER}",
    ),
    "LyingSize": (
        "sizes_are_true",
        "Output, final output and directions have the widths that the layer states.",
        r"by output_size: expected the shape \[4, 7, 6\], got \[4, 7, 5\]",
    ),
    "CannotTurn": (
        "reversed_equals_flipped",
        "Turned around, the layer gives on a sequence what it gave on its mirror image.",
        r"reverse is False before and after reverse_\(\)",
    ),
    "TurnsNameOnly": (
        "reversed_equals_flipped",
        "Turned around, the layer gives on a sequence what it gave on its mirror image.",
        rf"reversed run against the mirror image: the largest difference is {NUMBER}",
    ),
    "SharedWeights": (
        "layers_are_distinct",
        "Each inner layer has weights of its own, drawn anew.",
        "2 places in the layer hold 1 cells: one is used more than once",
    ),
    "StepDiffers": (
        "stream_equals_whole",
        "One step at a time gives what the run over the whole sequence gives.",
        rf"streamed outputs: the largest difference is {NUMBER}",
    ),
    "HiddenLayer": (
        "parameters_are_registered",
        "Every tensor and module inside is a parameter, a buffer or a submodule.",
        r"1 held outside of parameters, .*: hidden_layers\[0\] \(a Recurrent\)",
    ),
    "SwapsFinal": (
        "final_output_sees_everything",
        "The final output depends on the first and on the last real step of a padded row.",
        rf"against each direction's last output: the largest difference is {NUMBER}",
    ),
    "ForgetsPenalty": (
        "penalties_are_collected",
        "``regularization_loss`` is the sum over all cells inside; constraints reach them all.",
        rf"regularization_loss is 0, the cells inside add up to {NUMBER}",
    ),
    "SeesFuture": (
        "streaming_is_refused_where_impossible",
        "A layer that can be streamed does not see the future;",
        rf"its output at t = 0 depends on the last step: a change there moves it by {NUMBER}",
        # and on steps on the other side of a reset
        "resets_equal_separate_rows",
    ),
    "KnowsState": (
        "nests_with_stacked",
        "It works inside and outside of the wrapper 'stacked'.",
        "'tuple' object has no attribute 'hidden'",
        # the state of a bidirectional layer has no such field either
        "nests_with_bidirectional",
    ),
    "CutAtHoles": (
        "masked_gradients_are_exact",
        "With padding and with holes the gradients equal finite differences, too.",
        rf"gradient of input with padding: .* backward gives {NUMBER}, finite",
    ),
    "ClearsPadding": (
        "the_callers_tensors_stay_unchanged",
        "A run changes neither input, mask nor state of any of 33 rows.",
        r"input was changed in place, in rows \[1, ",
    ),
}
