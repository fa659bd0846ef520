"""What catches the wrong heads, see ``test_wrong_plugins``."""

from wrong.expected.number import NUMBER

EXPECTED = {
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
