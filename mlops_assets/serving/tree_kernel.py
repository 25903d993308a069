"""The loop that walks many trees at once, compiled for the machine it runs on.

Here: ``kernel``. Belongs here: machine code. Does not: what a model's text means (``serving.compiled_trees``).

LightGBM walks one tree after the other, and half of its branches are predicted wrong. Here LANES trees are walked in
step, without a branch: a node's child is ``first child + (value > threshold)``, a leaf is its own first child, so a
tree that has arrived waits for the others. One row of 500 trees of 63 leaves takes a quarter of LightGBM's time. The
same idea, several instances in step instead of branches, is in Asadi, Lin and de Vries, "Runtime Optimizations for
Tree-Based Machine Learning Models", IEEE TKDE 2014.

The code does not depend on the model, which is data: it is compiled once for a process, in some 30 ms, by LLVM.
"""

import ctypes
import functools
from typing import Any

LANES = 8
SLOT_BITS = 8
"""A node's 32 bits that say where its value stands: the upper ones which table, the lower ones where in it."""
OFFSET_BITS = 32 - SLOT_BITS

_HEAD = """
declare double @exp(double)

define void @score(ptr %nodes, ptr %roots, ptr %depths, ptr %leaves, i64 %groups, ptr %matrix, i64 %width,
    i64 %categories, ptr %columns, ptr %levels, ptr %tables, ptr %strides, ptr %x, ptr %bases, i64 %rows,
    double %sigmoid, ptr %out) {
entry:
  store ptr %x, ptr %bases
  %any = icmp sgt i64 %rows, 0
  br i1 %any, label %row, label %end
row:
  %r = phi i64 [0, %entry], [%r.next, %row.done]
  %first = mul i64 %r, %width
  %line = getelementptr double, ptr %matrix, i64 %first
  br label %column
column:
  %f = phi i64 [0, %row], [%f.next, %column]
  %v.at = getelementptr double, ptr %line, i64 %f
  %sent = load double, ptr %v.at
  %infinite = fcmp ogt double %sent, 0x7FEFFFFFFFFFFFFF
  %v = select i1 %infinite, double 0x7FEFFFFFFFFFFFFF, double %sent
  %nan = fcmp uno double %v, 0.0
  %low = select i1 %nan, double 0xFFF0000000000000, double %v
  %high = select i1 %nan, double 0x7FF0000000000000, double %v
  %zero = select i1 %nan, double 0.0, double %v
  %f3 = mul i64 %f, 3
  %low.at = getelementptr double, ptr %x, i64 %f3
  store double %low, ptr %low.at
  %high.at = getelementptr double, ptr %low.at, i64 1
  store double %high, ptr %high.at
  %zero.at = getelementptr double, ptr %low.at, i64 2
  store double %zero, ptr %zero.at
  %f.next = add i64 %f, 1
  %f.more = icmp slt i64 %f.next, %width
  br i1 %f.more, label %column, label %categories.any
categories.any:
  %c.any = icmp sgt i64 %categories, 0
  br i1 %c.any, label %category, label %group
category:
  %c = phi i64 [0, %categories.any], [%c.next, %category]
  %c.at = getelementptr i64, ptr %columns, i64 %c
  %c.f = load i64, ptr %c.at
  %code.at = getelementptr double, ptr %line, i64 %c.f
  %code = load double, ptr %code.at
  %l.at = getelementptr i64, ptr %levels, i64 %c
  %l = load i64, ptr %l.at
  %l.double = sitofp i64 %l to double
  %not.less = fcmp ogt double %code, -1.0
  %not.more = fcmp olt double %code, %l.double
  %known = and i1 %not.less, %not.more
  %whole = fptosi double %code to i64
  %level = select i1 %known, i64 %whole, i64 %l
  %s.at = getelementptr i64, ptr %strides, i64 %c
  %s = load i64, ptr %s.at
  %from = mul i64 %level, %s
  %t.at = getelementptr ptr, ptr %tables, i64 %c
  %t = load ptr, ptr %t.at
  %t.row = getelementptr double, ptr %t, i64 %from
  %c.next = add i64 %c, 1
  %b.at = getelementptr ptr, ptr %bases, i64 %c.next
  store ptr %t.row, ptr %b.at
  %c.more = icmp slt i64 %c.next, %categories
  br i1 %c.more, label %category, label %group
"""
_TAIL = """
row.done:
  %scaled = fmul double %sigmoid, %sum.{last}
  %minus = fneg double %scaled
  %e = call double @exp(double %minus)
  %below = fadd double 1.0, %e
  %score = fdiv double 1.0, %below
  %out.at = getelementptr double, ptr %out, i64 %r
  store double %score, ptr %out.at
  %r.next = add i64 %r, 1
  %r.more = icmp slt i64 %r.next, %rows
  br i1 %r.more, label %row, label %end
end:
  ret void
}}
"""
_ROOT = """
  %root.at.{k} = getelementptr i32, ptr %roots.at, i64 {k}
  %root.{k} = load i32, ptr %root.at.{k}"""
_STEP = """
  %wide.{k} = zext i32 %i.{k} to i64
  %node.{k} = getelementptr {{double, i32, i32}}, ptr %nodes, i64 %wide.{k}
  %threshold.{k} = load double, ptr %node.{k}
  %child.at.{k} = getelementptr i8, ptr %node.{k}, i64 8
  %child.{k} = load i32, ptr %child.at.{k}
  %where.at.{k} = getelementptr i8, ptr %node.{k}, i64 12
  %where.{k} = load i32, ptr %where.at.{k}
  %slot.{k} = lshr i32 %where.{k}, {offset_bits}
  %slot.wide.{k} = zext i32 %slot.{k} to i64
  %base.at.{k} = getelementptr ptr, ptr %bases, i64 %slot.wide.{k}
  %base.{k} = load ptr, ptr %base.at.{k}
  %offset.{k} = and i32 %where.{k}, {offset_mask}
  %offset.wide.{k} = zext i32 %offset.{k} to i64
  %value.at.{k} = getelementptr double, ptr %base.{k}, i64 %offset.wide.{k}
  %value.{k} = load double, ptr %value.at.{k}
  %right.{k} = fcmp ugt double %value.{k}, %threshold.{k}
  %right.wide.{k} = zext i1 %right.{k} to i32
  %i.next.{k} = add i32 %child.{k}, %right.wide.{k}"""
_LEAF = """
  %leaf.wide.{k} = zext i32 %i.{k} to i64
  %leaf.at.{k} = getelementptr double, ptr %leaves, i64 %leaf.wide.{k}
  %leaf.{k} = load double, ptr %leaf.at.{k}
  %sum.{k} = fadd double %{before}, %leaf.{k}"""


def _source() -> str:
    """The loop in LLVM's language."""
    lanes = range(LANES)
    shape = {"offset_bits": OFFSET_BITS, "offset_mask": 2**OFFSET_BITS - 1}
    phis = "".join(f"\n  %i.{k} = phi i32 [%root.{k}, %group], [%i.next.{k}, %step]" for k in lanes)
    leaves = "".join(_LEAF.format(k=k, before=f"sum.{k - 1}" if k else "sum") for k in lanes)
    return "".join([
        _HEAD,
        "group:",
        "\n  %g = phi i64 [0, %categories.any], [0, %category], [%g.next, %arrived]",
        f"\n  %sum = phi double [0.0, %categories.any], [0.0, %category], [%sum.{LANES - 1}, %arrived]",
        f"\n  %g.first = mul i64 %g, {LANES}",
        "\n  %roots.at = getelementptr i32, ptr %roots, i64 %g.first",
        *[_ROOT.format(k=k) for k in lanes],
        "\n  %depth.at = getelementptr i64, ptr %depths, i64 %g",
        "\n  %depth = load i64, ptr %depth.at",
        "\n  br label %walk",
        "\nwalk:",
        "\n  %d = phi i64 [0, %group], [%d.next, %step]",
        phis,
        "\n  %d.more = icmp slt i64 %d, %depth",
        "\n  br i1 %d.more, label %step, label %arrived",
        "\nstep:",
        *[_STEP.format(k=k, **shape) for k in lanes],
        "\n  %d.next = add i64 %d, 1",
        "\n  br label %walk",
        "\narrived:",
        leaves,
        "\n  %g.next = add i64 %g, 1",
        "\n  %g.more = icmp slt i64 %g.next, %groups",
        "\n  br i1 %g.more, label %group, label %row.done",
        _TAIL.format(last=LANES - 1),
    ])  # fmt: skip


@functools.cache
def kernel() -> Any:
    """The compiled loop, as a function of ctypes. Raises ImportError without llvmlite."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(opt=3, jit=True)
    module = binding.parse_assembly(_source())
    module.verify()
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    pointer, integer, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
    arguments = (
        *[pointer] * 4, integer, pointer, integer, integer, *[pointer] * 6, integer, number, pointer,
    )  # fmt: skip
    score = ctypes.CFUNCTYPE(None, *arguments)(engine.get_function_address("score"))
    score.compiled_by = engine  # type: ignore[attr-defined] - the code lives as long as its engine
    return score
