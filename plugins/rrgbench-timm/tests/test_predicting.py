from __future__ import annotations

import itertools
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image as PillowImage
from rrgbench_timm import checkpoint, models, pixels, predicting

from rrgbench.cache import Cache
from rrgbench.encoding import encode_cached
from rrgbench.errors import ImageError, RunError, UsageError
from rrgbench.images import from_file
from rrgbench.labels import CHEXPERT
from rrgbench.parts import build
from rrgbench.plugins import catalogue
from rrgbench.types import Context, Failure, Findings, Image

CPU = torch.device("cpu")


def flat(*args: Any, **options: Any) -> Iterator[predicting.Outputs]:
    """What is predicted for each image, one after the other."""
    return itertools.chain.from_iterable(predicting.batches(*args, **options))


SIZE = 32
MEAN, STD = [0.4], [0.2]
Grey = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return models.create("test_vit", {}, size=SIZE, in_chans=1, classes=5, seed=0)


@pytest.fixture(scope="module")
def forward(model: torch.nn.Module) -> predicting.Forward:
    return predicting.network(model, MEAN, STD)


def grey(n: int, size: int = SIZE) -> Grey:
    return np.random.default_rng(n).integers(0, 256, (n, size, size), dtype=np.uint8)


def drawn(pictures: Grey) -> list[Image]:
    return [image(str(at), partial(np.divide, each, 255, dtype=np.float32)) for at, each in enumerate(pictures)]


def image(name: str, read: Callable[[], npt.NDArray[np.float32]]) -> Image:
    return Image(name, read, lambda: name, "PA")


def raising(error: BaseException) -> Callable[[], npt.NDArray[np.float32]]:
    def read() -> npt.NDArray[np.float32]:
        raise error

    return read


def read(of: Image) -> Grey:
    return pixels.read(of, SIZE)


def mean(pictures: torch.Tensor) -> torch.Tensor:
    """A network that is quick: the mean grey level."""
    return pictures.float().mean((1, 2)).unsqueeze(1)


def test_outputs_are_the_models_on_scaled_pictures(model: torch.nn.Module, forward: predicting.Forward) -> None:
    pictures = grey(7)
    with torch.inference_mode():
        x = pixels.as_input(torch.from_numpy(pictures).unsqueeze(1).float() / 255, MEAN, STD)
        wanted = model(x).numpy()
    streamed = list(flat(drawn(pictures), read, forward, device=CPU, batch=7))
    np.testing.assert_array_equal(np.stack(streamed), wanted)
    np.testing.assert_array_equal(predicting.logits(forward, pictures, device=CPU, batch=7), wanted)
    assert streamed[0].dtype == np.float64


def test_a_model_that_was_being_trained_is_evaluated(model: torch.nn.Module) -> None:
    once = predicting.logits(predicting.network(model, MEAN, STD), grey(3), device=CPU, batch=3)
    model.train()
    forward = predicting.network(model, MEAN, STD)
    assert not model.training
    np.testing.assert_array_equal(predicting.logits(forward, grey(3), device=CPU, batch=3), once)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch", [1, 4, 100])
def test_neither_batch_nor_workers_change_what_comes_or_its_order(
    forward: predicting.Forward, batch: int, workers: int
) -> None:
    pictures = grey(21)
    wanted = predicting.logits(forward, pictures, device=CPU, batch=21)
    found = flat(drawn(pictures), read, forward, device=CPU, batch=batch, workers=workers)
    np.testing.assert_allclose(np.stack(list(found)), wanted, atol=1e-6)
    np.testing.assert_allclose(predicting.logits(forward, pictures, device=CPU, batch=batch), wanted, atol=1e-6)


def test_what_can_not_be_read_fails_at_its_own_place(forward: predicting.Forward) -> None:
    images = drawn(grey(6))
    whole = list(flat(images, read, forward, device=CPU, batch=2))
    bad = [
        image("a", raising(ImageError("scan.png is truncated"))),
        None,
        predicting.looked_at(Context("s7")),
        image("b.dcm", raising(ZeroDivisionError("by zero"))),
    ]
    found = list(flat([*images[:3], *bad, *images[3:]], read, forward, device=CPU, batch=2))
    assert found[3:7] == [
        Failure("image", "scan.png is truncated"),
        Failure("image", "The study has no image."),
        Failure("image", "The study s7 has no image."),
        Failure("image", "The image b.dcm can't be read (ZeroDivisionError: by zero)."),
    ]
    np.testing.assert_allclose(np.stack(found[:3] + found[7:]), np.stack(whole), atol=1e-6)
    assert list(flat(bad[:2], read, forward, device=CPU, batch=2)) == found[3:5]
    assert not list(flat([], read, forward, device=CPU, batch=2))


@pytest.mark.parametrize("error", [UsageError("no such preset"), RunError("the disk is gone")])
def test_what_is_no_images_fault_stops_the_stream(error: Exception, forward: predicting.Forward) -> None:
    with pytest.raises(type(error), match=str(error)):
        list(flat([image("a", raising(error))], read, forward, device=CPU, batch=2))


def test_the_next_batch_is_read_while_the_network_works() -> None:
    reading = [threading.Event() for _ in range(8)]

    def noted(of: Image) -> Grey:
        reading[int(of.image_id)].set()
        return read(of)

    waited = []

    def slow(pictures: torch.Tensor) -> torch.Tensor:
        if not waited:
            waited.append(all(event.wait(10) for event in reading[4:]))
        return mean(pictures)

    list(flat(drawn(grey(8)), noted, slow, device=CPU, batch=4, workers=1))
    assert waited == [True]


def test_endless_images_are_asked_for_as_they_are_needed() -> None:
    asked = 0
    pictures = itertools.cycle(drawn(grey(5)))

    def source() -> Iterator[Image]:
        nonlocal asked
        for each in pictures:
            asked += 1
            yield each

    before = set(threading.enumerate())
    found = flat(source(), read, mean, device=CPU, batch=8, workers=3)
    for number in range(1, 50):
        next(found)
        assert asked <= number + 2 * 8 + 3
    del found
    assert set(threading.enumerate()) == before


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    size, batch = 128, 16
    shade = np.random.default_rng(0).random((size, size), dtype=np.float32)
    images = (image(str(at), partial(np.multiply, shade, at % 7 / 7)) for at in range(4000))
    tracemalloc.start()
    found = flat(images, partial(pixels.read, size=size), mean, device=CPU, batch=batch, workers=2)
    assert sum(len(each) for each in found) == 4000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6 < 4000 * size**2 / 10  # bytes


def too_little(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


TOO_LITTLE = {
    "the CPU's allocator": lambda: torch.empty(2**50, dtype=torch.uint8),  # a petabyte: its own error, a real one
    "a GPU": too_little(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")),
    "Python": too_little(MemoryError()),
}


@pytest.mark.parametrize("fail", TOO_LITTLE.values(), ids=TOO_LITTLE)
def test_a_batch_that_memory_does_not_hold_is_halved_and_stays_so(fail: Callable[[], object]) -> None:
    tried = []

    def forward(pictures: torch.Tensor) -> torch.Tensor:
        tried.append(len(pictures))
        if len(pictures) > 5:
            fail()
        return mean(pictures)

    pictures = grey(36)
    found = list(flat(drawn(pictures), read, forward, device=CPU, batch=16))
    np.testing.assert_array_equal(np.stack(found), mean(torch.from_numpy(pictures)).numpy())
    assert tried == [16, 8, *[4] * 9]
    tried.clear()
    np.testing.assert_array_equal(predicting.logits(forward, pictures, device=CPU, batch=16), np.stack(found))
    assert tried == [16, 8, *[4] * 9]


@pytest.mark.parametrize("fail", TOO_LITTLE.values(), ids=TOO_LITTLE)
def test_memory_that_does_not_hold_one_picture_is_an_error_in_words(fail: Callable[[], object]) -> None:
    def forward(pictures: torch.Tensor) -> torch.Tensor:
        fail()
        return mean(pictures)

    with pytest.raises(RunError, match=r"memory of cpu does not suffice.*one picture of 32 px.*smaller model"):
        list(flat(drawn(grey(4)), read, forward, device=CPU, batch=4))


def test_another_error_of_the_network_is_not_taken_for_lack_of_memory() -> None:
    def forward(pictures: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        list(flat(drawn(grey(4)), read, forward, device=CPU, batch=4))


def test_bfloat16_is_near(model: torch.nn.Module, forward: predicting.Forward) -> None:
    pictures = grey(9)
    exact = predicting.logits(forward, pictures, device=CPU, batch=9)
    half = predicting.logits(predicting.network(model, MEAN, STD, precision="bf16"), pictures, device=CPU, batch=9)
    assert 0 < np.abs(half - exact).max() < 0.05


@pytest.mark.slow
def test_compiled_gives_the_same_for_every_batch(model: torch.nn.Module, forward: predicting.Forward) -> None:
    pictures = grey(9)
    fast = predicting.network(model, MEAN, STD, compiled=True)
    wanted = predicting.logits(forward, pictures, device=CPU, batch=9)
    torch._dynamo.utils.counters.clear()
    for batch in (4, 5):  # 4, 4, 1 and 5, 4
        np.testing.assert_allclose(predicting.logits(fast, pictures, device=CPU, batch=batch), wanted, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_what_can_not_be_compiled_is_said(model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(graph: object, inputs: object) -> None:
        raise OSError("no compiler here")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    fast = predicting.network(model, MEAN, STD, compiled=True)
    with pytest.raises(UsageError, match=r"no compiler here.*Leave compile out"):
        predicting.logits(fast, grey(4), device=CPU, batch=4)


def test_a_cpu_needs_no_search_for_a_batch(forward: predicting.Forward) -> None:
    assert predicting.find_batch(forward, SIZE, CPU) == 32
    assert predicting.default_workers(CPU) >= 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_what_the_cpu_gives_at_a_batch_that_fits(forward: predicting.Forward) -> None:
    cuda, pictures = torch.device("cuda"), grey(100)
    there = predicting.network(
        models.create("test_vit", {}, size=SIZE, in_chans=1, classes=5, seed=0).to(cuda), MEAN, STD
    )
    batch = predicting.find_batch(there, SIZE, cuda)
    assert batch in [2**power for power in range(11)]
    wanted = predicting.logits(forward, pictures, device=CPU, batch=100)
    for size in (batch, 7):
        found = list(flat(drawn(pictures), read, there, device=cuda, batch=size))
        np.testing.assert_allclose(np.stack(found), wanted, atol=1e-3)  # TF32 where convolutions use it
    greatest = torch.cuda.mem_get_info(cuda)[1]

    def greedy(some: torch.Tensor) -> torch.Tensor:
        torch.empty(greatest * len(some) // 5, dtype=torch.uint8, device=cuda)
        return there(some)

    assert predicting.find_batch(greedy, SIZE, cuda) in (1, 2, 4)
    np.testing.assert_allclose(predicting.logits(greedy, pictures, device=cuda, batch=64), wanted, atol=1e-3)


def test_a_corrupt_file_among_thousands_costs_its_own_study(model: torch.nn.Module, tmp_path: Path) -> None:
    number, bad = 2000, 1234
    rng = np.random.default_rng(0)
    for at in range(number):
        PillowImage.fromarray(rng.integers(0, 256, (SIZE, SIZE), dtype=np.uint8)).save(tmp_path / f"{at}.png")
    file = tmp_path / f"{bad}.png"
    file.write_bytes(file.read_bytes()[:200])
    contexts = [Context(f"s{at}", images=(from_file(tmp_path, f"{at}.png", "PA", "a.csv"),)) for at in range(number)]
    encoder = build(catalogue(), "encoder", {"vit": {"checkpoint": str(random_weights(tmp_path))}})
    cache = Cache(tmp_path / "cache.sqlite")
    found = encode_cached(encoder, contexts, cache, lambda _: None)
    cache.close()
    failures = {study: each for study, (each, _) in found.items() if isinstance(each, Failure)}
    assert list(failures) == [f"s{bad}"]
    assert failures[f"s{bad}"].kind == "image"
    assert f"{bad}.png" in failures[f"s{bad}"].message
    assert sum(isinstance(each, Findings) for each, _ in found.values()) == number - 1


def random_weights(folder: Path) -> Path:
    network = models.create("test_vit", {}, size=SIZE, in_chans=1, classes=len(CHEXPERT), seed=0)
    card = checkpoint.Card(
        format=1,
        model="test_vit",
        model_args={},
        size=SIZE,
        in_chans=1,
        mean=MEAN,
        std=STD,
        labels=list(CHEXPERT.labels),
        thresholds=dict.fromkeys(CHEXPERT.labels, 0.5),
        training={
            "provenance": {},
            "started_from": "random weights",
            "recipe": {},
            "seed": 0,
            "epoch": 1,
            "studies": {},
            "skipped": {},
            "versions": {},
            "validate": {},
        },
        terms="open",
        licence=None,
    )
    path = folder / "checkpoint.safetensors"
    checkpoint.write(path, card, {name: tensor.numpy() for name, tensor in network.state_dict().items()})
    return path
