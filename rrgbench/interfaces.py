"""What each kind of part offers. Nothing needs to be inherited: a part is any class with these methods.

A part's constructor arguments are its options: typed, so that ``vit:size=96`` can be checked and coerced. An argument
typed as one of these protocols takes a spec (``labeler="rulelabel"``) and receives the part. ``version`` is raised
whenever the part's output changes. Optional on every part: ``signature``, what the options alone don't say (the digest
of a file that was read); ``neutral``, the names of options that don't change the output (a batch size); ``baseline``,
why a run with this part is a baseline; ``host``, the name of the remote host that it sends text or images to (a
language model must have it: one that doesn't say is refused for data that is not open); ``terms``, those of data of the
user's own that it reads ("open", "private", "credentialed"): a run has the strictest of all its parts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rrgbench.types import (
    Case,
    Checkpoint,
    Completion,
    Context,
    Failure,
    Findings,
    Judged,
    Message,
    Report,
    Study,
    Vocabulary,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

Ask = Callable[..., Awaitable[Completion]]
"""``await ask(messages, schema=None)``: the core's cached, metered and gated way to the LLM. Raises ``LLMError``."""


@runtime_checkable
class Dataset(Protocol):
    """Studies. ``terms`` is "open", "private" or "credentialed".

    Optional: ``synthetic`` marks drawn data; ``official`` holds the published counts by split (None: of all), as in
    ``{"test": {"studies": 3269, "images": 5159}}``; ``notes()`` gives sentences on what was found and what is
    unverified; ``problems()`` gives sentences on what is wrong with the files; a static ``make(folder, studies, seed)``
    writes a synthetic tree of the dataset's layout, and may return options for its spec. The command `rrgbench data`
    uses them. ``about`` is a word or two for pages that the spec doesn't say.
    """

    version: str
    terms: str
    vocabulary: Vocabulary
    splits: tuple[str, ...]

    def load(self, split: str | None) -> Iterable[Study]:
        """The studies of a split, in a fixed order; every study for None."""


@runtime_checkable
class Encoder(Protocol):
    """Contexts to findings. ``needs`` names what it must see of a study: "images", "labels", ...

    Optional: ``stream(contexts)`` takes contexts ahead of its answers and gives these by the batch, in order, so that
    reading and the network overlap; ``calibrate(studies)`` gets studies to fit thresholds on, once, before ``encode``,
    and returns warnings;
    ``batch`` is how many contexts it wants at once (default 32); ``cached = False`` where looking up is not cheaper
    than encoding; ``thresholds``, by label, at which a probability is called present; ``trained_on``, the dataset's
    spec. ``averaged(others)`` gives an encoder with the mean of their weights. ``features(contexts)`` gives a vector
    or a Failure each, for probes. ``saliency(contexts, labels, method)`` gives a Failure or, by label, where it looks:
    float32 of shape (height, width), 0 or above, over the whole of the image that it saw.
    """

    version: str
    needs: tuple[str, ...]

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        """Findings of each context, in order. What is raised costs only the studies that raise it alone, too."""


@runtime_checkable
class TrainableEncoder(Encoder, Protocol):
    """An encoder that `rrgbench train` can train.

    ``recipe`` is the class of its training options: a dataclass whose fields are typed like a part's options (one that
    is typed as an encoder takes a spec). ``fit`` is called with the same studies and folder again where a training was
    killed, and goes on from what it left there.
    """

    recipe: type

    def fit(
        self,
        train: Sequence[Study],
        validate: Sequence[Study],
        folder: Path,
        recipe: Any,
        *,
        provenance: Mapping[str, Any] | None = None,
        log: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> Checkpoint:
        """Train on ``train``, choose epoch and thresholds on ``validate``, write a checkpoint under ``folder``.

        ``provenance`` is what the checkpoint should say of the data and the recipe. ``log`` is called as training goes
        on with a mapping: its ``stage`` ("read", "epoch", ...), then figures.
        """


@runtime_checkable
class Renderer(Protocol):
    """Findings to text. Pure."""

    version: str

    def render(self, findings: Findings, context: Context) -> str:
        """The findings in words: present, uncertain, absent, and what was not assessed."""


@runtime_checkable
class Prompt(Protocol):
    """Findings and their rendering to a report, with as many calls of ``ask`` as it wants.

    Optional: ``prepare(train, renderer)`` gets the training split's studies once, before the first ``write``.
    """

    version: str
    needs: tuple[str, ...]

    async def write(self, findings: Findings, text: str, context: Context, ask: Ask) -> Report | Failure:
        """The report, or why there is none. An ``LLMError`` of ``ask`` may pass through: it is recorded."""


@runtime_checkable
class LLM(Protocol):
    """A language model. ``host`` is None for one that runs in this process, else the name of the host it is sent to.

    Optional: ``concurrency`` (default 1) is how many calls may be in flight; ``cached = False`` where replies should
    not be kept; ``price(prompt_tokens, completion_tokens)`` gives US dollars, or None where they are not known (without
    it a model is free if ``host`` is None); ``aclose()`` frees what ``complete`` holds. Where ``complete`` takes
    ``sample`` it gets the number of the sample (0, 1, ...) that a report asks for of the same messages, so that a fixed
    seed need not make them all alike.

    Where ``batch`` is True it is asked in batches and ``complete`` isn't called. ``await submit(name, requests)`` hands
    requests (tuples of what ``complete`` takes, by id; ``batch_size`` of them at most) over under a name and gives the
    batch's id; ``await submitted(name)`` gives the id of what was submitted under a name, or None; ``await
    collect(id)`` gives a Completion or an ``LLMError`` by the request's id, and None while the batch is under way. They
    raise ``LLMError``; of ``collect`` one that is neither fatal nor to be tried again means that the batch failed.
    """

    version: str
    host: str | None

    async def complete(self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
        """One reply. Raises ``LLMError``."""


@runtime_checkable
class Writer(Protocol):
    """In the place of an LLM: writes the report straight from the findings, with no prompt (``template``)."""

    version: str

    def write(self, findings: Findings, context: Context) -> Report | Failure:
        """The report, or why there is none."""


@runtime_checkable
class System(Protocol):
    """Studies to reports in one step.

    Optional: ``prepare(train)`` gets the training split's studies once; ``check(ids)`` gets the ids of the evaluated
    studies and of their images, and returns warnings.
    """

    version: str
    needs: tuple[str, ...]

    def generate(self, contexts: Sequence[Context]) -> Iterator[Report | Failure]:
        """A report or a failure for each context, in order."""


@runtime_checkable
class Labeler(Protocol):
    """Text to labels. ``name`` begins the names of the scores that are made with it."""

    version: str
    name: str
    vocabulary: Vocabulary

    def label(self, texts: Sequence[str]) -> pd.DataFrame:
        """A row a text, in order; a column a label of the vocabulary; cells are values of ``Status``."""


@runtime_checkable
class Metric(Protocol):
    """Statistics per report (``rows``), then a reduction of them (``reduce``).

    ``needs`` names what a case must have for it to get a row: any of "report", "reference", "labels", "findings";
    "reference|labels" is the first of the two that the data have. The core passes only such cases, so ``candidate`` is
    never None for a metric that needs "report", and so on. Optional: ``resamplable = False`` says that resampling the
    rows means nothing, so that there is no interval; ``describe(rows)`` adds to the signature what depends on the data;
    ``exchangeable(rows)``, for paired tests, gives the rows as two systems may swap them (ranks for probabilities).
    """

    version: str
    needs: tuple[str, ...]

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """The direction of each score that ``reduce`` gives."""

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """One row a case, in order, indexed by study_id. Columns hold the statistics that ``reduce`` needs.

        Where a protocol counts images, a study comes once for each of its images.
        """

    def reduce(
        self, rows: pd.DataFrame, weights: npt.NDArray[np.float64] | None = None
    ) -> Mapping[str, float] | Mapping[str, npt.NDArray[np.float64]]:
        """The scores.

        ``weights``, of shape (resamples, rows), says how often each row was drawn; the result then holds an array of
        shape (resamples,) a score. None means each row once, and the result holds floats. NaN where undefined.
        """


@runtime_checkable
class Judge(Protocol):
    """A metric that asks a language model, its option ``judge: LLM``: ``row`` in the place of ``rows``.

    All else is as for ``Metric``. It is computed only where it is asked for by name. ``recorded``, a
    ``judging.Recorded`` of the option ``replies``, gives the replies where there is no judge. ``repeat`` (1, 2, ...)
    says which asking of the same question this is: the second is not answered from the cache of the first.
    """

    version: str
    needs: tuple[str, ...]

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """The direction of each score that ``reduce`` gives."""

    async def row(self, case: Case, ask: Ask) -> Mapping[str, float] | Failure:
        """The statistics of one case, or why there are none. An ``LLMError`` of ``ask`` may pass through.

        ``judging.answered`` asks, reads, and asks once more where a reply can't be read.
        """

    def reduce(
        self, rows: pd.DataFrame, weights: npt.NDArray[np.float64] | None = None
    ) -> Mapping[str, float] | Mapping[str, npt.NDArray[np.float64]]:
        """The scores, as for ``Metric``. The row of a case that failed is NaN throughout, or lacks what failed."""

    def judged(self, rows: pd.DataFrame) -> Mapping[str, Judged]:
        """How far the judge got with each score."""
