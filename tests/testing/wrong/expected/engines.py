"""What catches the wrong engines, see ``test_wrong_plugins``."""

from wrong.expected.number import NUMBER

EXPECTED = {
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
        "offers_are_sound",
        "For every registered cell it makes an offer, or says in words why it cannot run it.",
        "offer for gru is False, neither an Offer nor a reason",
    ),
    "Haggles": (
        "offers_are_sound",
        "For every registered cell it makes an offer, or says in words why it cannot run it.",
        "offer for gru is Offer.*, then Offer",
    ),
    "NoArguments": (
        "constructor",
        "It is a documented ``Engine`` built without arguments, with a name of its own.",
        "raised TypeError: .* missing 1 required positional argument: 'chunk'",
    ),
}
