"""What catches the wrong cells, see ``test_wrong_plugins``."""

from wrong.expected.number import NUMBER

EXPECTED = {
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
    "TypeMadeAtRunTime": (
        "survives_pickling",
        "Pickled, copied and saved by torch, before its first run and after it, it gives the same.",
        r"^pickle raised PicklingError: .*Pair",
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
    "LyingOutputSize": (
        "step_shapes_are_true",
        "One step gives ``[B, output_size]`` and a state of the structure and shapes",
        r"by output_size: expected the shape \[4, 10\], got \[4, 5\]",
    ),
    "StateChangesForm": (
        "step_shapes_are_true",
        "One step gives ``[B, output_size]`` and a state of the structure and shapes",
        r"StateChangesForm gives \(Tensor, HiddenState\) for a step, .*_Two\(hidden, memory\)",
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
        r"ForgetsToReset: nothing draws the parameter both anew, .*\.reset_parameters",
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
