"""Attention over the caches against attention over the plain keys and values of each row."""

import pytest
import torch
import torch.nn.functional as F

from model.fast.kv_cache import GROWTH, Cache, SharedCache

HEADS, WIDTH, LENGTHS = 2, 4, (5, 9, 7)  # of three contexts


def contexts():
    """A cache of three contexts, and the keys and values ``(2, heads, length, width)`` of each."""
    generator = torch.Generator().manual_seed(0)
    plain = [torch.randn(2, HEADS, n, WIDTH, generator=generator) for n in LENGTHS]
    end = max(LENGTHS)
    cache = Cache([torch.empty(2, len(LENGTHS), HEADS, end + 2, WIDTH).fill_(float("nan"))], end)
    for row, kv in enumerate(plain):
        cache.begin(slice(row, row + 1), end - kv.shape[2])
        cache.layers[0][:, row, :, end - kv.shape[2] : end] = kv
    return cache, plain


@pytest.mark.parametrize("owners", [[0, 1, 2], [0, 0, 1, 2, 2, 2]])
def test_a_new_token_attends_to_its_own_row_only(owners):
    cache, plain = contexts()
    rows = [plain[owner] for owner in owners]
    shared = len(owners) > len(plain)
    cache = SharedCache(cache, torch.tensor(owners)) if shared else cache
    generator = torch.Generator().manual_seed(1)
    for step in range(GROWTH + 4):  # past the first growth
        q, k, v = torch.randn(3, len(rows), HEADS, 1, WIDTH, generator=generator).unbind(0)
        cache.grow()
        found = cache.attend(0, q, k, v)
        rows = [torch.cat([kv, torch.stack([k[i], v[i]])], dim=2) for i, kv in enumerate(rows)]
        for i, (keys, values) in enumerate(rows):
            expected = F.scaled_dot_product_attention(q[i], keys, values, scale=1.0)
            torch.testing.assert_close(found[i], expected, atol=1e-5, rtol=1e-5)
        if step == 3:  # the last row takes the place of the first
            keep = torch.tensor([len(rows) - 1, *range(1, len(rows) - 1)])
            cache.keep(keep)
            rows = [rows[i] for i in keep]
