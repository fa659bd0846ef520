from __future__ import annotations

import math

from seqlab.engines.traced.folding import FoldedGraph
from seqlab.expressions import Graph, ordered


def test_equal_values_are_one_node_and_all_others_are_not():
    graph = Graph()
    a, b = graph.symbol("state", "a"), graph.symbol("state", "b")
    assert graph.make("add", a, b) is graph.make("add", graph.symbol("state", "a"), b)
    assert graph.make("add", a, b) is not graph.make("add", b, a)
    assert graph.make("call", a, value="tanh") is not graph.make("call", a, value="exp")
    assert graph.symbol("state", 0) is not graph.symbol("parameter", 0)
    assert graph.number(0.0) is not graph.number(-0.0)
    assert graph.number(math.nan) is graph.number(math.nan)
    assert Graph().number(1) is not graph.number(1)


def test_arguments_come_before_what_uses_them_and_once():
    graph = Graph()
    a, b = graph.symbol("state", "a"), graph.symbol("state", "b")
    product = graph.make("mul", a, b)
    total = graph.make("add", product, graph.make("sub", product, a))
    assert ordered([total, product]) == [a, b, product, total.args[1], total]
    assert ordered([total], lambda node: node is product) == [product, a, total.args[1], total]


def test_a_deep_graph_is_walked_without_recursion():
    graph = Graph()
    node = graph.symbol("state", "a")
    for _ in range(20_000):
        node = graph.make("neg", node)
    assert len(ordered([node])) == 20_001


def test_the_graph_of_compiled_code_works_out_what_numbers_make_trivial():
    graph = FoldedGraph()
    x, zero, one = graph.symbol("x", 0), graph.number(0), graph.number(1)
    assert graph.make("add", zero, x) is graph.make("sub", x, zero) is x
    assert graph.make("mul", x, one) is graph.make("mul", one, x) is graph.make("div", x, one) is x
    assert graph.make("neg", graph.make("add", one, one)).number == -2.0
    # 0 * x is not 0 where x is infinite, and 0 - x is not x
    assert graph.make("mul", zero, x).op == "mul"
    assert graph.make("sub", zero, x).op == "sub"
    assert Graph().make("add", zero, x).op == "add"
