"""The real FFT of scipy, without importing scipy.fft: a third of the imports of a transcription, for one function."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Spectrum = NDArray[np.complex64]
EXTENSION = "scipy.fft._pocketfft.pypocketfft"


def rfft(rows: Rows) -> Spectrum:
    """(..., n) -> (..., n // 2 + 1), as scipy.fft.rfft and by its code: seven times as fast as numpy's in float32."""
    return _find_rfft()(rows)


@lru_cache(maxsize=1)
def _find_rfft() -> Callable[[Rows], Spectrum]:
    """That of scipy's extension module; of the whole package where a release has no such module."""
    try:
        extension = _load_extension()
        sample = np.ones((2, 8), np.float32)
        if extension.r2c(sample, (-1,), True, 0, None, 1).dtype == np.complex64:
            return lambda rows: cast(Spectrum, extension.r2c(rows, (-1,), True, 0, None, 1))
    except (ImportError, AttributeError, TypeError):
        pass
    from scipy.fft import rfft as scipy_rfft

    return lambda rows: cast(Spectrum, scipy_rfft(rows))


def _load_extension() -> Any:
    """Scipy's module of transforms, without the packages it is in. Raises ImportError."""
    scipy = find_spec("scipy")  # imports nothing
    _, *folders, name = EXTENSION.split(".")
    for root in (scipy and scipy.submodule_search_locations) or ():
        for suffix in EXTENSION_SUFFIXES:
            path = Path(root, *folders, name + suffix)
            if path.is_file():
                # by its own name: the interpreter gives scipy the same module when that is imported later
                spec = spec_from_file_location(EXTENSION, path, loader=ExtensionFileLoader(EXTENSION, str(path)))
                assert spec is not None
                assert spec.loader is not None
                module = module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    raise ImportError(EXTENSION)
