from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.construct import construct
from seqlab.errors import EngineError, OptionError, ShapeError
from seqlab.wrappers.base import LayerFactory

X = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(3))
LENGTHS = torch.tensor([6, 0, 3])


def build(*wrappers, cell=None, input_size=4):
    made = tuple(construct("wrapper", spec) for spec in wrappers)
    factory = LayerFactory(cell or {"name": "gru", "hidden_size": 5}, made)
    return factory(input_size)


def both_directions(layer, x, lengths):
    """Each row alone, both directions by hand: the definition."""
    rows = []
    for row, n in zip(x, lengths.tolist(), strict=True):
        forward = layer.forward_layer(row[None, :n])[0][0]
        backward_layer = layer.backward_layer
        backward_layer.reverse_()
        backward = backward_layer(row[None, :n].flip(1))[0][0].flip(0)
        backward_layer.reverse_()
        rows.append((forward, backward))
    return rows


def test_layers_are_built_one_by_one_so_that_the_first_too_many_can_be_refused():
    built = []

    def make_layer(input_size):
        built.append(input_size)
        if len(built) == 3:
            raise OptionError("too many")
        return seqlab.Recurrent(seqlab.get("cell", "gru")(input_size, 5))

    # a list of them would take all memory there is
    with pytest.raises(OptionError, match="too many"):
        construct("wrapper", {"name": "stacked", "num_layers": 10**15}).build(make_layer, 4)
    assert built == [4, 5, 5]


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", "none", None])
def test_bidirectional_is_two_runs_merged(mode, asymmetric):
    layer = asymmetric(seqlab.Bidirectional(seqlab.LSTM(4, 5), merge_mode=mode))
    output, _ = layer(X, lengths=LENGTHS)
    join = {
        "concat": lambda f, b: torch.cat([f, b], -1),
        "sum": torch.add,
        "mul": torch.mul,
        "ave": lambda f, b: (f + b) / 2,
    }.get(mode)
    for index, (forward, backward) in enumerate(both_directions(layer, X, LENGTHS)):
        n = len(forward)
        if join is None:
            assert isinstance(output, tuple)
            torch.testing.assert_close(output[0][index, :n], forward)
            torch.testing.assert_close(output[1][index, :n], backward)
        else:
            torch.testing.assert_close(output[index, :n], join(forward, backward))
            assert (output[index, n:] == 0).all()


def test_directions_differ_and_have_their_own_weights():
    layer = seqlab.Bidirectional(seqlab.GRU(4, 5))
    assert not layer.forward_layer.reverse
    assert layer.backward_layer.reverse
    forward, backward = layer.forward_layer.cell, layer.backward_layer.cell
    assert not torch.equal(forward.weight_ih, backward.weight_ih)


def test_backward_layer_of_another_cell_and_width():
    layer = seqlab.Bidirectional(seqlab.LSTM(4, 5), backward_layer=seqlab.GRU(4, 2))
    output, state = layer(X)
    assert output.shape == (3, 6, 7)
    assert layer.directions == (5, 2)
    assert state.backward.hidden.shape == (3, 2)
    assert layer.backward_layer.reverse
    with pytest.raises(OptionError, match="merge 'sum' needs both directions of one width, got 5"):
        seqlab.Bidirectional(seqlab.LSTM(4, 5), "sum", seqlab.GRU(4, 2))
    with pytest.raises(OptionError, match="backward_layer takes 3 features, the forward layer 4"):
        seqlab.Bidirectional(seqlab.LSTM(4, 5), backward_layer=seqlab.GRU(3, 5))


def test_initial_weights_half_and_half():
    source = seqlab.Bidirectional(seqlab.GRU(4, 5))
    weights = [p.detach().clone() for p in source.parameters()]
    twin = seqlab.Bidirectional(seqlab.GRU(4, 5), weights=weights)
    torch.testing.assert_close(twin(X)[0], source(X)[0])
    with pytest.raises(ShapeError, match=r"weights must hold 8 tensors .* got 7"):
        seqlab.Bidirectional(seqlab.GRU(4, 5), weights=weights[:-1])
    wrong = [*weights[:3], torch.zeros(2), *weights[4:]]
    with pytest.raises(ShapeError, match=r"weights\[3\] must be \(15,\), got \(2,\)"):
        seqlab.Bidirectional(seqlab.GRU(4, 5), weights=wrong)


def test_both_deep_bidirectional_types():
    stack_of_pairs = build({"name": "bidirectional"}, {"name": "stacked", "num_layers": 3})
    pair_of_stacks = build({"name": "stacked", "num_layers": 3}, {"name": "bidirectional"})
    assert isinstance(stack_of_pairs, seqlab.Stacked)
    assert [layer.input_size for layer in stack_of_pairs.layers] == [4, 10, 10]
    assert isinstance(pair_of_stacks, seqlab.Bidirectional)
    assert [part.reverse for part in pair_of_stacks.backward_layer.layers] == [True] * 3
    assert stack_of_pairs.output_size == pair_of_stacks.output_size == 10


def test_reversed_stack_equals_flipped_input(asymmetric):
    layer = asymmetric(build({"name": "bidirectional"}, {"name": "stacked"}))
    expected = layer(X.flip(1))[0].flip(1)
    layer.reverse_()
    torch.testing.assert_close(layer(X)[0], expected)


def test_stacked_layers_of_different_cells_and_widths():
    layers = [{"hidden_size": 7}, {"name": "lstm", "hidden_size": 3}, {"name": "rnn"}]
    layer = build({"name": "stacked", "layers": layers})
    cells = [type(cell).__name__ for cell in layer.cells()]
    assert cells == ["GRUCell", "LSTMCell", "RNNCell"]
    assert [cell.hidden_size for cell in layer.cells()] == [7, 3, 5]
    assert layer(X)[0].shape == (3, 6, 5)


def test_stacked_residual_adds_from_the_second_layer_on(asymmetric):
    plain = asymmetric(build({"name": "stacked", "num_layers": 2}))
    residual = build({"name": "stacked", "num_layers": 2, "residual": True})
    residual.load_state_dict(plain.state_dict())
    first = plain.layers[0](X, lengths=LENGTHS)[0]
    torch.testing.assert_close(
        residual(X, lengths=LENGTHS)[0], plain(X, lengths=LENGTHS)[0] + first
    )


def test_stacked_dropout_acts_between_layers_in_training_only():
    layer = build({"name": "stacked", "num_layers": 2, "dropout": 0.5})
    assert not torch.equal(layer(X)[0], layer(X)[0])
    layer.eval()
    assert torch.equal(layer(X)[0], layer(X)[0])


def test_residual_projects_where_asked():
    same = build({"name": "residual"}, input_size=5)
    x = torch.randn(2, 3, 5)
    torch.testing.assert_close(same(x)[0], same.layer(x)[0] + x)
    with pytest.raises(OptionError, match="takes 4 features and gives 5"):
        build({"name": "residual"})
    assert build({"name": "residual", "project": True})(X)[0].shape == (3, 6, 5)


def test_stream_equals_the_whole_run(asymmetric):
    wrappers = ({"name": "residual", "project": True}, {"name": "stacked", "num_layers": 2})
    layer = asymmetric(build(*wrappers, cell={"name": "lstm", "hidden_size": 5})).eval()
    running = seqlab.stream(layer)
    outputs = [running.step(X[:, t])[0] for t in range(6)]
    whole, state = layer(X)
    torch.testing.assert_close(torch.stack(outputs, 1), whole)
    torch.testing.assert_close(layer.final_output(running.state), layer.final_output(state))
    running.reset()
    torch.testing.assert_close(running.step(X[:, 0])[0], whole[:, 0])


def test_what_runs_backward_cannot_be_streamed():
    with pytest.raises(EngineError, match="LSTM cannot be streamed: it runs backward"):
        seqlab.stream(seqlab.LSTM(3, 4, reverse=True))
    layer = seqlab.Bidirectional(seqlab.LSTM(3, 4))
    with pytest.raises(EngineError, match="Bidirectional cannot be streamed"):
        seqlab.stream(layer)
    with pytest.raises(EngineError, match="Bidirectional cannot be streamed"):
        layer.step(torch.zeros(1, 3), layer.initial_state(1))


def test_an_unmerged_pair_is_refused_where_one_tensor_is_needed():
    with pytest.raises(OptionError, match="Stacked: layer 0: merge_mode none gives a pair"):
        build({"name": "bidirectional", "merge_mode": "none"}, {"name": "stacked"})
    with pytest.raises(OptionError, match="Residual: merge_mode none"):
        build({"name": "bidirectional", "merge_mode": None}, {"name": "residual"})


def test_wrong_options_are_named():
    with pytest.raises(OptionError, match=r"wrapper 'stacked' has no option 'layer': did you mean"):
        build({"name": "stacked", "layer": 3})
    with pytest.raises(OptionError, match="num_layers: expected an int of at least 1"):
        build({"name": "stacked", "num_layers": 0})
    with pytest.raises(OptionError, match="layers: expected a list"):
        build({"name": "stacked", "layers": 2})
    with pytest.raises(OptionError, match="takes 7 features, layer 0 gives 5"):
        seqlab.Stacked([seqlab.GRU(4, 5), seqlab.GRU(7, 5)])


def test_states_split_a_run(asymmetric):
    layer = asymmetric(build({"name": "stacked", "num_layers": 2}))
    whole, final = layer(X)
    first, state = layer(X[:, :2])
    second, last = layer(X[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(last[1].hidden, final[1].hidden)


def test_shapes_both_stand_in_the_message():
    layer = seqlab.LSTM(4, 5)
    with pytest.raises(ShapeError, match=r"the input must be \[B, T, 4\], got \(3, 6, 2\)"):
        layer(X[..., :2])
    with pytest.raises(ShapeError, match=r"lengths must be \(3,\) integers, got \(2,\)"):
        layer(X, lengths=torch.tensor([1, 2]))
    with pytest.raises(ShapeError, match=r"lengths must lie in 0..6, got 1..9"):
        layer(X, lengths=torch.tensor([1, 2, 9]))
    with pytest.raises(ShapeError, match=r"mask must be \(3, 6\) bool, got \(3, 6\) torch.float32"):
        layer(X, mask=torch.ones(3, 6))
    with pytest.raises(ShapeError, match=r"a state tensor must be \(3, 5\), got \(1, 5\)"):
        layer(X, (torch.zeros(1, 5), torch.zeros(1, 5)))
    with pytest.raises(ShapeError, match=r"state must have 2 parts \(hidden, cell\), got 1 parts"):
        layer(X, (torch.zeros(3, 5),))
