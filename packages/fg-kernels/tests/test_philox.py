import random

import pytest
import torch

from fg_kernels.errors import OperandError
from fg_kernels.philox import name_hash, noise16, philox4x32
from fg_kernels.window import Window

PI_COUNTER = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
PI_KEY = (0xA4093822, 0x299F31D0)


@pytest.mark.parametrize(
    ("rounds", "counter", "key", "expected"),
    [
        # Random123, tests/kat_vectors
        (7, (0,) * 4, (0,) * 2, (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)),
        (7, (0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x5207DDC2, 0x45165E59, 0x4D8EE751, 0x8C52F662)),
        (7, PI_COUNTER, PI_KEY, (0x4DFCCABA, 0x190A87F0, 0xC47362BA, 0xB6B5242A)),
        (10, (0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (10, (0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (10, PI_COUNTER, PI_KEY, (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    ],
)
def test_known_answers_of_random123(rounds, counter, key, expected):
    assert philox4x32(counter, key, rounds=rounds) == expected
    tensors = philox4x32(tuple(torch.tensor([word]) for word in counter), key, rounds=rounds)
    assert tuple(word.item() for word in tensors) == expected


def test_tensors_agree_with_python_integers():
    generator = random.Random(0)
    columns = [[generator.getrandbits(32) for _ in range(500)] for _ in range(4)]
    key = (generator.getrandbits(32), generator.getrandbits(32))
    words = philox4x32(tuple(torch.tensor(column) for column in columns), key)
    for i in range(500):
        assert tuple(int(word[i]) for word in words) == philox4x32(tuple(column[i] for column in columns), key)


def test_noise_follows_the_documented_layout():
    seed, name, step, offset = 0x0123_4567_89AB_CDEF, "layers.3.mlp.weight", 41, 1003
    noise = noise16(50, seed=seed, name=name, step=step, window=Window(offset), device="cpu")
    hashed = name_hash(name)
    for i, value in enumerate(noise.tolist(), start=offset):
        counter = (i // 8, step, hashed & 0xFFFFFFFF, hashed >> 32)
        word = philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))[i % 8 // 2]
        assert value == (word >> 16 if i % 2 else word & 0xFFFF)


def test_noise_is_fixed_for_all_time():
    """Rounds, words and halves included: another value here is another run for everyone who resumes one."""
    noise = noise16(10, seed=7, name="embed.weight", step=3, window=Window(5), device="cpu")
    assert noise.tolist() == [59285, 37804, 2079, 44898, 12604, 32788, 21954, 50668, 50741, 21070]


def test_name_hash_is_fixed_for_all_time():
    # hashlib.blake2b(b"embed.weight", digest_size=8), little endian: saved runs depend on it.
    assert name_hash("embed.weight") == 0xC440264F150063F5
    assert name_hash("embed.weight") != name_hash("embed.weight#exp_avg")


def test_noise_is_uniform_and_uncorrelated():
    count = 1 << 20
    noise = noise16(count, seed=7, name="w", step=1, device="cpu")
    histogram = torch.bincount(noise >> 8, minlength=256).double()
    expected = count / 256
    chi_squared = ((histogram - expected) ** 2 / expected).sum().item()
    assert 150 < chi_squared < 380  # 255 degrees of freedom: 4.6 and 5.5 sigma
    centred = noise.double() - noise.double().mean()
    lagged = (centred[1:] * centred[:-1]).mean() / centred.square().mean()
    assert abs(lagged.item()) < 4 / count**0.5


@pytest.mark.parametrize("change", [{"seed": 2}, {"name": "other"}, {"step": 4}, {"seed": 1 + (1 << 32)}])
def test_every_part_of_the_question_changes_the_noise(change):
    question = {"seed": 1, "name": "w", "step": 3}
    one = noise16(64, **question, device="cpu")
    other = noise16(64, **(question | change), device="cpu")
    assert (one == other).sum() < 4


@pytest.mark.parametrize("offset", [-1, 8 << 32])
def test_indices_the_counter_cannot_tell_apart_are_refused(offset):
    with pytest.raises(OperandError, match="lie outside"):
        noise16(1, seed=0, name="w", step=1, window=Window(offset), device="cpu")
