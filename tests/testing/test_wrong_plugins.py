"""Each deliberately wrong part is caught by the check that is there for it, and by no other."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
from seqlab.testing import Settings, check
from seqlab.testing.parametrize import kind_of
from seqlab.testing.result import SKIPPED

sys.path.insert(0, str(Path(__file__).parent))

FAST = Settings(fast=True)
NUMBER = r"-?\d[\d.e+-]*"

# part: (the check, its sentence, what it reports, further checks that must fail as well and why)
CELLS = {
    "SwappedGates": (
        "engine_fused",
        "The engine 'fused' gives the loop's outputs, final states and gradients.",
        rf"fused, forward, no mask: output: the largest difference is {NUMBER} \(allowed 1e-08\)",
    ),
    "MissingGradient": (
        "parameters_get_gradients",
        "Every parameter, and every declared gate, gets a gradient that is not zero.",
        r"parameter 'cell\.weight_hh' gets no gradient \(None\)",
    ),
    "CutThroughTime": (
        "gradients_are_exact",
        "In float64 the gradients of input, state and parameters equal finite differences.",
        rf"backward gives {NUMBER}, finite differences give {NUMBER}",
    ),
    "WrongBackward": (
        "gradients_are_exact",
        "In float64 the gradients of input, state and parameters equal finite differences.",
        rf"backward gives {NUMBER}, finite differences give {NUMBER}",
    ),
    "InPlaceState": (
        "arguments_stay_unchanged",
        "``project`` and ``step`` change neither their input nor the state they are given.",
        rf"state\[1\] was changed in place, by up to {NUMBER}",
    ),
    "StateOnModule": (
        "nothing_is_kept",
        "The same step twice, with the same random numbers, gives the same result.",
        rf"second of two equal calls .* largest difference is {NUMBER}",
    ),
    "LeakAcrossRows": (
        "rows_do_not_mix",
        "Changing one row of a batch changes no other row.",
        rf"rows 0, 2, 3 after row 1 was changed: the largest difference is {NUMBER}",
    ),
    "MixedUnits": (
        "update_is_elementwise",
        "In ``update``, unit k of the result depends on unit k of gates and state alone.",
        rf"units other than 1, after unit 1 was moved by 0.7: .* {NUMBER}",
    ),
    "DropoutAtInference": (
        "inference_is_deterministic",
        "In inference mode ``project`` and ``step`` draw no random number.",
        rf"output under two seeds, in inference mode: the largest difference is {NUMBER}",
    ),
    "DropoutInStep": (
        "randomness_comes_from_sample_noise",
        "In training mode, too, ``project`` and ``step`` draw no random number of their own.",
        rf"under two seeds, in training mode without noise: the largest difference is {NUMBER}",
    ),
    "HiddenParameter": (
        "parameters_are_registered",
        "Every tensor and module inside is a parameter, a buffer or a submodule.",
        r"1 held outside of parameters, .*: cell\.scales\[0\] \(a tensor \[5\]\)",
    ),
    "MissingFromStateDict": (
        "state_dict_round_trip",
        "Another instance with this one's state dict, through safetensors, gives the same numbers.",
        rf"after the state dict: the largest difference is {NUMBER}",
    ),
    "MixesTime": (
        "project_is_per_step",
        "``project`` of a sequence is ``project`` of each of its steps.",
        rf"project of step 0 alone: the largest difference is {NUMBER}",
    ),
    "SqueezesOneRow": (
        "small_batches_run",
        "One row, one step, no steps and no rows give outputs of the right shape.",
        r"output, B=1, T=3: expected the shape \[1, 3, 5\], got \[5, 3\]",
    ),
    "LyingOutputSize": (
        "step_shapes_are_true",
        "One step gives ``[B, output_size]`` and a state of the structure and shapes",
        r"by output_size: expected the shape \[4, 10\], got \[4, 5\]",
    ),
    "StateChangesForm": (
        "step_shapes_are_true",
        "One step gives ``[B, output_size]`` and a state of the structure and shapes",
        "step takes a _Two and gives a HiddenState",
    ),
    "FixedDtype": (
        "initial_state_fits",
        "``initial_state`` gives ``[B, ...]`` tensors where, and in the dtype, it is asked for.",
        r"tensor 0 is torch\.float32, and the dtype of the parameters is torch\.float64",
    ),
    "SinglePrecisionInside": (
        "dtypes_are_kept",
        "float32 gives float32, float64 gives float64, and both agree to float32's digits.",
        "an input moved by 1e-11 moves the output by 0: digits are lost",
    ),
    "ConstantOnCpu": (
        "step_follows_its_device",
        "The step runs wholly where its parameters are; tried on ``meta``,",
        "a cell on device meta raised RuntimeError: .*cpu",
    ),
    "BranchesOnValues": (
        "step_exports",
        "``torch.export`` turns one step into a graph that gives the same numbers.",
        "torch.export refuses the step: .*data-dependent",
    ),
    "UnseededWeights": (
        "same_seed_same_weights",
        "Built twice under one seed, the layer has the same weights; under another, others.",
        r"'cell\.bias' differs between two builds under torch\.manual_seed\(3\)",
    ),
    "ForgetsToReset": (
        "fresh_has_new_weights",
        "``fresh()`` gives a layer of the same form with other weights,",
        r"1 of 1 random tensors are the same in fresh\(\): cell\.both",
    ),
    "HardCodedSigmoid": (
        "option_recurrent_activation",
        "The option ``recurrent_activation='hard_sigmoid'`` replaces the gates' function.",
        r"update calls torch\.sigmoid itself, 1 times, and self\.recurrent_activation never",
    ),
    "DropsRegularizer": (
        "option_kernel_regularizer",
        "The option ``kernel_regularizer='l2'`` penalises the input matrix.",
        "kernel_regularizer='l2' gives a penalty of 0",
        # one method holds the three penalties, so all three options are lost with it
        "option_recurrent_regularizer",
        "option_bias_regularizer",
    ),
    "SwallowsOptions": (
        "constructor",
        "It is a ``Cell`` built from two sizes, and refuses sizes of 0 and options",
        "the unknown option no_such_option=1: was accepted without an error",
    ),
    "UnusedGate": (
        "parameters_get_gradients",
        "Every parameter, and every declared gate, gets a gradient that is not zero.",
        "gate 'reset' is declared and has no part in the result: 0 of 15 entries",
    ),
    "IgnoresState": (
        "the_given_state_is_used",
        "Another initial state gives other outputs, and the default is ``initial_state``.",
        "another initial state changes the output by 0",
    ),
    "UnusedFlag": (
        "option_fancy",
        "The flag ``fancy=True`` changes parameters or output.",
        "fancy=True changes the output by 0: it has no effect",
    ),
    "Undocumented": (
        "documented",
        "The class has a docstring of its own.",
        "Undocumented has no docstring of its own",
    ),
}
WRAPPERS = {
    "NeverReverses": (
        "directions_are_true",
        "What it calls forward sees the past, what it calls backward sees the future.",
        r"the backward half \(5 wide\) at t = 0 does not see the last step: .* by 0$",
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
    ),
    "KnowsState": (
        "nests_with_stacked",
        "It works inside and outside of the wrapper 'stacked'.",
        "'tuple' object has no attribute 'hidden'",
        # the state of a bidirectional layer has no such field either
        "nests_with_bidirectional",
    ),
}
HEADS = {
    "CountsPadding": (
        "padding_is_ignored",
        "NaN in the padding, more of it, and garbage in the target's padding change nothing.",
        rf"tags: loss: the largest difference is {NUMBER}",
    ),
    "AnswersWithTensors": (
        "predictions_are_json",
        "``predict`` gives one JSON-able mapping a row.",
        "label: answer 0 is no JSON: Object of type Tensor",
    ),
    "LosesARow": (
        "predictions_are_json",
        "``predict`` gives one JSON-able mapping a row.",
        "label: 4 answers for 5 rows",
    ),
    "LossPerRow": (
        "loss_is_a_scalar",
        "The loss is one finite number of at least float32 with a gradient,",
        r"label: the loss is \[5\], not a scalar",
    ),
    "TwoLosses": (
        "measure_gives_the_loss",
        "``measure`` returns what ``loss`` gives, and every metric then has a finite value.",
        rf"label: loss of measure and of loss: the largest difference is {NUMBER}",
    ),
    "OneSetOfMetrics": (
        "metrics_add_up",
        "Two halves of the rows, one after the other, give the metrics of all rows;",
        r"tags: metrics\(\) hands out 1 metrics twice",
    ),
    "WrongMonitor": (
        "monitor_is_a_metric",
        "``monitor`` names one of the head's metrics and ``min`` or ``max``.",
        "monitor is 'f1', the metrics are accuracy",
    ),
    "DetachedLoss": (
        "parameters_get_gradients",
        "The loss has a gradient for every parameter of the head and for the encoder's output.",
        "tags: the loss has no gradient for what the encoder gives",
    ),
    "DropoutAtInference": (
        "inference_is_deterministic",
        "In inference mode loss and answers are the same under any seed, and change no weight.",
        rf"label: loss under two seeds: the largest difference is {NUMBER}",
    ),
    "MixesRows": (
        "rows_do_not_mix",
        "A row is answered alone as it is in a batch.",
        "label: row 0 alone and in the batch: ",
    ),
    "LearnsTheOpposite": (
        "learns_by_heart",
        "Trained on five rows, the loss falls and the monitored metric becomes as good as can be.",
        rf"label: the loss fell from {NUMBER} to {NUMBER}, and accuracy went from {NUMBER} to 0",
    ),
    "CrashesOnEmptyRows": (
        "empty_rows_are_fine",
        "A row without steps gives a finite loss, finite gradients and an answer.",
        "label: with an empty row the loss is nan",
    ),
    "NoTargetCrash": (
        "a_missing_target_is_refused",
        "``loss`` of a batch without target is a DataError, and ``predict`` needs none.",
        "raised AttributeError .*, not DataError",
    ),
}
PARTS = {
    "WideMerge": (
        "output_size_is_true",
        "Sequences and single vectors give ``output_size`` features;",
        r"by output_size: expected the shape \[2, 5, 8\], got \[2, 5, 4\]",
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
    "IgnoresMask": (
        "masks_and_directions_hold",
        "With holes in the mask, forward and reversed, it gives each row's real steps run by hand.",
        rf"holes, forward: output: the largest difference is {NUMBER}",
    ),
    "LosesPlace": (
        "masks_and_directions_hold",
        "With holes in the mask, forward and reversed, it gives each row's real steps run by hand.",
        rf"all real, reversed: output: the largest difference is {NUMBER}",
    ),
    "NoStateGradient": (
        "gradients_reach_everything",
        "Input, initial state and every parameter get the loop's gradients.",
        rf"gradient of state\[0\]: the largest difference is {NUMBER} .*got 0,",
    ),
    "DetachedOutput": (
        "gradients_reach_everything",
        "Input, initial state and every parameter get the loop's gradients.",
        "carries no gradient; an engine for inference sets differentiable = False",
    ),
    "SaysMaybe": (
        "constructor",
        "It is a documented ``Engine`` built without arguments, with a name of its own.",
        "differentiable is 'mostly', not True or False",
    ),
    "ForgetsNoise": (
        "noise_is_applied",
        "In training it applies dropout and zoneout masks as the loop does, or refuses them.",
        rf"gru with dropout=0\.4 in training: the largest difference is {NUMBER}",
    ),
    "SaysTrue": (
        "refusals_have_reasons",
        "For every registered cell it answers None, or says in words why it cannot run it.",
        "refusal of gru is False, neither None nor a reason",
    ),
    "NoArguments": (
        "constructor",
        "It is a documented ``Engine`` built without arguments, with a name of its own.",
        "raised TypeError: .* missing 1 required positional argument: 'chunk'",
    ),
}
SOURCES = {
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
WRONG = {
    f"{module}.{name}": expected
    for module, table in (
        ("cells", CELLS),
        ("wrappers", WRAPPERS),
        ("heads", HEADS),
        ("parts", PARTS),
        ("sources", SOURCES),
    )
    for name, expected in table.items()
}


#: Parts among them with which nothing is wrong.
RIGHT = {"Right", "Squares", "InferenceOnly"}


def part_of(path: str):
    module, _, name = path.partition(".")
    return getattr(importlib.import_module(f"wrong.{module}"), name)


@pytest.mark.parametrize("path", WRONG)
def test_a_wrong_part_fails_the_check_that_is_there_for_it(path):
    name, sentence, reason, *consequences = WRONG[path]
    part = part_of(path)
    results = {result.name: result for result in check(kind_of(part), part, settings=FAST)}
    failed = [result.name for result in results.values() if not result.passed]
    assert failed == [n for n in results if n in {name, *consequences}], results[name]
    assert results[name].says.startswith(sentence)
    assert results[name].catches
    assert re.search(reason, results[name].reason), results[name].reason
    for result in results.values():
        if result.outcome == SKIPPED and "means nothing until" in result.reason:
            assert re.search(rf"'({'|'.join(failed)})'", result.reason), result


def test_there_are_enough_wrong_parts_and_none_is_left_out():
    assert len(WRONG) >= 25
    for module in ("cells", "wrappers", "heads", "parts", "sources"):
        loaded = importlib.import_module(f"wrong.{module}")
        classes = {
            name
            for name, value in vars(loaded).items()
            if isinstance(value, type) and value.__module__ == loaded.__name__
        }
        public = {name for name in classes if not name.startswith("_")} - RIGHT
        assert public == {path.partition(".")[2] for path in WRONG if path.startswith(module)}


@pytest.mark.parametrize("path", ["cells.Right", "sources.Squares", "parts.InferenceOnly"])
def test_the_same_parts_without_a_bug_pass(path):
    part = part_of(path)
    results = check(kind_of(part), part, settings=FAST)
    assert [str(result) for result in results if not result.passed] == []
    assert sum(result.outcome == "passed" for result in results) >= 6
