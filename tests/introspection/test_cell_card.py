from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
import seqlab
import sympy
import torch
from seqlab.cells.base import map_state
from seqlab.errors import OptionError, UnknownNameError
from seqlab.introspection.card import cell_card
from seqlab.introspection.diagram import Diagram, as_mermaid, as_text
from seqlab.introspection.sizes import Formula, parameter_formulas, total
from seqlab.introspection.svg import as_svg
from torch.utils._python_dispatch import TorchDispatchMode

from sampled_cells import CELLS


@pytest.mark.parametrize("name", CELLS)
def test_formulas_count_the_parameters_of_every_cell(name):
    card, cell = cell_card(name), seqlab.get("cell", name)(6, 4)
    assert card.size(6, 4) == sum(p.numel() for p in cell.parameters())
    widths = [size.shape[1] for size in cell.initial_state(2)]
    assert [w.replace("2H", "8").replace("H", "4") for w in card.state.values()] == [
        str(width) for width in widths
    ]


def test_a_cell_with_heads_and_one_as_wide_as_its_input_have_formulas():
    card = cell_card("delta_net", {"heads": 4})
    assert card.state == {"hidden": "H", "memory": "4, H/4, H/4"}
    assert str(card.size) == "3HD + 4H + 4D + 4"
    assert cell_card("gru", {"heads": 2}).size(8, 8) == 3 * 8 * (8 + 4) + 48
    assert str(cell_card("intersection_rnn").size) == "8H² + 4H"
    text = cell_card("mlstm").as_text()
    assert "state    hidden [B, H], memory [B, 1, H, H + 1], stabiliser [B, 1]" in text
    assert cell_card("gru_d").state == {"hidden": "H", "last": "D/3"}


def test_a_formula_that_does_not_exist_is_refused():
    def square(input_size, hidden_size):
        return seqlab.get("cell", "rnn")(input_size, hidden_size * hidden_size)

    with pytest.raises(ValueError, match=r"weight_ih has sizes .* which is no formula"):
        parameter_formulas(square)


def test_formulas():
    D, H = sympy.symbols("D H")
    formula = Formula(4 * H * (H + D - 2))
    assert str(formula) == "4H² + 4HD - 8H"
    assert formula(3, 5) == 20 * (5 + 3 - 2)
    assert str(Formula(sympy.Integer(0))) == "0"
    assert str(Formula(1 - H**5 - D)) == "-H^5 - D + 1"
    lstm = parameter_formulas(seqlab.get("cell", "lstm"))
    assert str(total(lstm, dimensions=2)) == "4H² + 4HD"


def test_the_cost_of_a_step():
    card = cell_card("lstm")
    assert card.cost(3, 5) == 2 * (4 * 25 + 4 * 15) + 13 * 5
    assert card.as_dict()["numbers"]["128"] == {"parameters": 131584, "operations": 263808}
    text = card.as_text()
    assert "  128    131,584     263,808" in text
    assert "elementwise, a unit: 5 add, 3 mul, 3 sigmoid, 2 tanh" in text


class OnMemory(TorchDispatchMode):
    """Counts the operations on tensors as large as a memory; a multiply-add is two."""

    def __init__(self, entries):
        super().__init__()
        self.entries, self.operations = entries, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "bmm":
            self.operations += 2 * args[0].numel() * args[1].shape[-1]
        elif name in ("mul", "add") and found.numel() == self.entries:
            self.operations += self.entries
        return found


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("name", ["gla", "mlstm", "delta_net", "gated_delta_net"])
def test_the_cost_of_a_matrix_memory_is_that_of_a_step(name, heads):
    cell = seqlab.get("cell", name)(5, 12, heads=heads)
    state = cell.initial_state(1)
    writes = map_state(lambda t: t[:, 0], cell.project(torch.randn(1, 1, 5)))
    with OnMemory(state.memory.numel()) as counted:
        cell.step(writes, state)
    card = cell_card(name, {"heads": heads})
    # a cell without decay is multiplied by 1 all the same
    idle = 0 if card.memory.fades else state.memory.numel()
    assert card.memory.operations(5, 12) == counted.operations - idle
    matrices = 2 * sum(p.numel() for p in cell.parameters() if p.dim() == 2)
    assert card.cost(5, 12) == matrices + card.memory.operations(5, 12)


def test_a_memory_is_shown_in_multiply_adds():
    assert "in the memory: 2H² (write, read), H² multiplications by" in cell_card("gla").as_text()
    delta = cell_card("delta_net", {"heads": 4})
    assert "memory: 3H²/4 (write, read, read of what is replaced)\n" in delta.as_text()
    assert delta.as_dict()["memory_multiply_adds"] == "3H²/4"
    assert cell_card("lstm").memory is None


def test_a_cell_that_cannot_be_traced_still_shows_its_sizes():
    card = cell_card("lru")
    assert card.diagram is None
    assert "not traced from the code: h_t = a_t * h_{t-1} + b_t has complex" in card.as_text()
    assert str(card.size) == "2H² + 3HD + 2H"


def test_wrong_names_and_options():
    with pytest.raises(UnknownNameError, match="did you mean 'lstm'"):
        cell_card("ltsm")
    with pytest.raises(OptionError, match="cell 'gru' has no option 'peephole'"):
        cell_card("gru", {"peephole": True})


def test_the_diagram_has_every_gate_and_flows_one_way():
    card = cell_card("gru", {"reset_after": False})
    labels = [box.label for box in card.diagram.boxes]
    assert [label for label in labels if label.startswith("W_")] == [
        "W_r x + U_r h + b_r",
        "W_z x + U_z h + b_z",
        "W_n x + U_n · + b_n",
    ]
    reached = {i for i, box in enumerate(card.diagram.boxes) if box.kind == "input"}
    for _ in labels:
        for end in range(len(labels)):
            sources = card.diagram.sources(end)
            if sources and all(start in reached for start, _ in sources):
                reached.add(end)
    assert len(reached) == len(labels)
    assert len(set(labels) & {"x_t", "h_{t-1}"}) == 2
    tree = as_text(card.diagram)
    assert "n_t = tanh\n  └─ W_n x + U_n · + b_n" in tree
    mermaid = as_mermaid(card.diagram)
    assert mermaid.startswith("flowchart LR\n")
    assert mermaid.count("-->") == len(card.diagram.arrows)


def test_svg_is_whole_and_draws_every_box_and_arrow():
    for name in ("lstm", "rg_lru"):
        diagram = cell_card(name).diagram
        root = ET.fromstring(as_svg(diagram, f"{name} <one> & step"))  # noqa: S314  its own text
        space = "{http://www.w3.org/2000/svg}"
        assert root.find(f"{space}title").text == f"{name} <one> & step"
        assert len(root.findall(f"{space}path")) == len(diagram.arrows)
        assert len(root.findall(f"{space}rect")) == len(diagram.boxes) + 1
        width = float(root.get("width"))
        for rect in root.findall(f"{space}rect"):
            assert float(rect.get("x", 0)) >= 0
            assert float(rect.get("x", 0)) + float(rect.get("width")) <= width


def test_an_empty_diagram_is_empty_text():
    assert as_text(Diagram()) == ""
