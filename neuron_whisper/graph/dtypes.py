"""TORCH_DTYPES: the data types of activations, caches and weights, by the names that profiles use."""

from __future__ import annotations

import torch

TORCH_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
