"""The run folder: a manifest, append-only reports that survive ``kill -9``, findings, rows and scores."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rrgbench.errors import RunError, UsageError
from rrgbench.labels import VOCABULARIES
from rrgbench.types import Box, Failure, Finding, Findings, Report, Score, Status, Vocabulary

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
Record = dict[str, Any]


@dataclass(frozen=True)
class RunResult:
    """A finished run: where it lies, what the manifest says, and its scores. ``folder`` is None if none was kept."""

    folder: Path | None
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]  # scores.json, as a mapping
    scores: tuple[Score, ...]

    @property
    def complete(self) -> bool:
        """Whether every study has a report."""
        return bool(self.manifest["status"] == "complete")

    def frame(self) -> pd.DataFrame:
        """A row a score, with the run it belongs to."""
        import pandas as pd

        run = {key: self.summary[key] for key in ("run_id", "dataset", "split", "system")}
        return pd.DataFrame([{**run, **asdict(score)} for score in self.scores])


@dataclass(frozen=True)
class RunResults:
    """The results of a grid, one a system."""

    runs: tuple[RunResult, ...]
    problems: tuple[str, ...] = ()  # systems of the grid that could not be run to the end, with the reason

    def frame(self) -> pd.DataFrame:
        """A row a score of each run."""
        import pandas as pd

        return pd.concat([run.frame() for run in self.runs], ignore_index=True)


def private_folder(path: Path) -> None:
    """Make a folder, or one that is there, its owner's alone. Raises UsageError where it is somebody else's."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    except OSError as error:
        raise UsageError(f"{path} can't be made private ({error.strerror}): choose another --out.") from None


def cache_of(folder: Path) -> Path:
    """The call cache of the runs that a run folder lies among; where it lies alone, one of its own."""
    shared = folder.resolve().parent.parent / ".cache.sqlite"
    return shared if shared.exists() else folder / ".cache.sqlite"


class RunFolder:
    """One run on disk. Opening it again goes on where it stopped; a second process is refused meanwhile."""

    def __init__(self, path: Path, private: bool) -> None:
        self.path = path
        self._private = private
        try:
            path.mkdir(parents=True, exist_ok=True)
            if private:
                self.keep_private()
            self._lock = self._opened(".lock", "w")
        except OSError as error:
            raise UsageError(f"{path} can't be made a run folder ({error.strerror}): choose another --out.") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise UsageError(f"Another process is at work on {path}. Wait for it, or choose another --out.") from None
        self._reports: IO[str] | None = None

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """A run folder that is there already. Raises UsageError."""
        if not (path / "manifest.json").is_file():
            raise UsageError(f"{path} is not a run folder: it has no manifest.json.")
        return cls(path, private=False)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reports:
            self._reports.close()
        self._lock.close()

    def keep_private(self) -> None:
        """Let nobody but the owner read the folder, what is in it, and what will be written."""
        self._private = True
        private_folder(self.path)
        for file in self.path.rglob("*"):
            if not file.is_symlink():
                file.chmod(0o700 if file.is_dir() else 0o600)

    def _opened(self, name: str, mode: str) -> IO[str]:
        """A file of the folder, created with the permissions that the run's terms ask for."""
        permissions = 0o600 if self._private else 0o666
        return open(self.path / name, mode, encoding="utf-8", opener=lambda p, flags: os.open(p, flags, permissions))

    def _fresh(self, name: str) -> Path:
        """An empty file for what will take the name when it is whole."""
        temporary = self.path / f".{name}.new"
        temporary.unlink(missing_ok=True)
        self._opened(temporary.name, "x").close()
        return temporary

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the folder, or None where there is none yet."""
        file = self.path / name
        if not file.exists():
            return None
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise RunError(f"{file} is damaged: delete it and run again.")
        return value

    def read_frame(self, name: str) -> pd.DataFrame:
        """A parquet file of the folder."""
        import pandas as pd

        try:
            return pd.read_parquet(self.path / name)
        except (OSError, ValueError):
            raise RunError(f"{self.path / name} is damaged: delete it and run again.") from None

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file, whole or not at all."""
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str)
        temporary = self._fresh(name)
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(self.path / name)

    def write_frame(self, name: str, frame: pd.DataFrame) -> None:
        """Write a parquet file, whole or not at all."""
        temporary = self._fresh(name)
        frame.to_parquet(temporary, index=False)
        temporary.replace(self.path / name)

    def read_lines(self, name: str) -> list[Record]:
        """The objects of a JSONL file of the folder, none where there is no file yet; a torn line is left out."""
        file = self.path / name
        lines = file.read_bytes().split(b"\n") if file.exists() else []
        return [record for line in lines if isinstance(record := _object(line), dict)]

    def write_lines(self, name: str, records: Iterable[Record]) -> None:
        """Write a JSONL file, whole or not at all."""
        text = "".join(f"{json.dumps(record, allow_nan=False)}\n" for record in records)
        temporary = self._fresh(name)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.path / name)

    def append(self, record: Record) -> None:
        """Add one report's record. It is the operating system's when this returns, so ``kill -9`` can't lose it."""
        if self._reports is None:
            self._reports = self._opened("reports.jsonl", "a")
        self._reports.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        self._reports.flush()

    def records(self) -> dict[str, Record]:
        """The last record of each study. A torn last line is cut off, so that what is appended starts a line."""
        file = self.path / "reports.jsonl"
        if not file.exists():
            return {}
        data = file.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(file, len(whole))
        return {record["study_id"]: record for record in _records(whole.split(b"\n"), file)}


def _object(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _records(lines: Iterable[bytes], file: Path) -> Iterable[Record]:
    """The records of the lines of a reports.jsonl."""
    for number, line in enumerate(lines, 1):
        if line:
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict) or not record.keys() >= {"study_id", "text", "sections", "failure"}:
                raise RunError(f"{file}, line {number}, is damaged: remove the line and run again.")
            yield record


def to_record(study_id: str, outcome: Report | Failure, **usage: Any) -> Record:
    """What reports.jsonl says of a study."""
    record: Record = {"study_id": study_id, "text": None, "sections": {}, "reasoning": None, "failure": None}
    if isinstance(outcome, Failure):
        record["failure"] = {"kind": outcome.kind, "message": outcome.message}
    else:
        record |= {"text": outcome.text, "sections": dict(outcome.sections), "reasoning": outcome.reasoning}
        if outcome.by_image:
            record["by_image"] = dict(outcome.by_image)
    return record | usage


def from_record(record: Record) -> Report | Failure:
    """The report or failure of a record."""
    if failure := record["failure"]:
        return Failure(failure["kind"], failure["message"])
    return Report(record["text"], record["sections"], record["reasoning"], record.get("by_image", {}))


def score_record(score: Score) -> Record:
    """What scores.json says of a score."""
    record = {**asdict(score), "ci": list(score.ci) if score.ci else None}
    return {key: value for key, value in record.items() if value is not None or key not in ("worst", "best")}


def score_of(record: Mapping[str, Any]) -> Score:
    """The score of a record of scores.json."""
    return Score(**{**record, "ci": tuple(record["ci"]) if record["ci"] else None})


def findings_frame(findings: Mapping[str, Findings | Failure]) -> pd.DataFrame:
    """findings.parquet: a row a study and label that was assessed."""
    import pandas as pd

    columns = ["study_id", "label", "probability", "status", "side", "severity", "box", "vocabulary"]
    return pd.DataFrame(
        [
            [study_id, f.label, f.probability, str(f.status), f.side, f.severity, _boxes(f), found.vocabulary.name]
            for study_id, found in findings.items()
            if isinstance(found, Findings)
            for f in found
        ],
        columns=columns,
    ).astype({"probability": float})


def _boxes(finding: Finding) -> str | None:
    return json.dumps([[b.x, b.y, b.width, b.height] for b in finding.boxes]) if finding.boxes else None


def findings_of(frame: pd.DataFrame) -> dict[str, Findings]:
    """The findings of a findings.parquet, by study."""
    out = {}
    for study_id, rows in frame.groupby("study_id", sort=False):
        name = str(rows["vocabulary"].iloc[0])
        vocabulary = VOCABULARIES.get(name) or Vocabulary(name, tuple(frame["label"].unique()))
        found = [_finding(row) for row in rows.to_dict("records")]
        out[str(study_id)] = Findings(vocabulary, {finding.label: finding for finding in found})
    return out


def _finding(row: Mapping[Hashable, Any]) -> Finding:
    boxes = tuple(Box(*box) for box in json.loads(row["box"])) if isinstance(row["box"], str) else ()
    known = {key: row[key] if row[key] == row[key] else None for key in ("probability", "side", "severity")}
    return Finding(row["label"], Status(row["status"]), **known, boxes=boxes)


def slug(text: str) -> str:
    """A text as a file name: no separators, no leading dot, at most 80 characters."""
    return re.sub(r"[^A-Za-z0-9_+-]+", "-", text).strip("-.")[:80] or "run"
