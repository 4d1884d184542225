"""One small piece of hand-written vector code: the bicubic sum over 4 x 4 pixels of 4 interleaved channels.

LLVM turns the row loops of `kernels.py` into vector code by itself, but not this one: it would gather every number
singly (22 ns per pixel). Written as sixteen 4-wide multiply-adds it takes 5.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

_INDEX = ir.IntType(32)
_VECTOR = ir.VectorType(ir.FloatType(), 4)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)


def _spread(builder: Any, number: Any) -> Any:
    """A 4-vector that holds `number` four times."""
    single = builder.insert_element(_UNDEFINED, number, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(single, _UNDEFINED, ir.Constant(ir.VectorType(_INDEX, 4), [0] * 4))


def _weighted(builder: Any, total: Any, weight: Any, value: Any) -> Any:
    """`total + weight * value`; a `total` of None is zero."""
    product = builder.fmul(weight, value)
    return product if total is None else builder.fadd(total, product)


def _build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    image, start, stride, across, down, out, at = arguments
    source = context.make_array(signature.args[0])(context, builder, image).data
    target = context.make_array(signature.args[5])(context, builder, out).data
    x_weights = [_spread(builder, builder.extract_value(across, j)) for j in range(4)]
    total = None
    for i in range(4):
        part = None
        for j in range(4):
            place = builder.add(start, ir.Constant(start.type, 4 * j))
            value = builder.load(builder.bitcast(builder.gep(source, [place]), _VECTOR.as_pointer()))
            value.align = 4
            part = _weighted(builder, part, x_weights[j], value)
        total = _weighted(builder, total, _spread(builder, builder.extract_value(down, i)), part)
        start = builder.add(start, stride)
    store = builder.store(total, builder.bitcast(builder.gep(target, [at]), _VECTOR.as_pointer()))
    store.align = 4
    return context.get_dummy_value()


@intrinsic  # type: ignore[untyped-decorator]
def bicubic_pixel(
    typing_context: Any, image: Any, start: Any, stride: Any, across: Any, down: Any, out: Any, at: Any
) -> Any:
    """`out[at:at+4] = sum over i, j of down[i] * across[j] * image[start + i*stride + 4*j :][:4]`, in compiled code.

    `image` and `out` are flat float32 arrays, `across` and `down` are tuples of four float32.
    """
    return types.void(image, types.intp, types.intp, across, down, out, types.intp), _build
