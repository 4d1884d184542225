"""How numba compiles the flow kernels."""

from __future__ import annotations

from typing import Any

from numba.core.compiler import CompilerBase, DefaultPassBuilder

from microexp.run.compiled import can_keep

OPTIONS: dict[str, Any] = {
    "cache": can_keep(),
    "nogil": True,
    "boundscheck": False,
    "error_model": "numpy",
    # Fast maths would gain 15 %, and lose this: the order of additions would hang on whether the code was compiled
    # just now or comes from the cache. Without it the same bytes come out every time.
    "fastmath": False,
}


class NoOverlap(CompilerBase):  # type: ignore[misc]
    """Compiles a function with array arguments that never overlap where one of them is written.

    Without this promise LLVM must assume that writing one row changes another, and makes no vector code.
    """

    def define_pipelines(self) -> list[Any]:
        """The usual passes, with LLVM's `noalias` on every pointer argument."""
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]
