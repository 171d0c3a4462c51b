"""A tool over many files, in order; what is done is on disk, and is not done again.

In a folder with results lie, for each picture, its files (`LABEL.overlay.png`, …) and its objects (`objects/LABEL.parquet`), and
over all of them the record (`samples.db`, see `samples`) and the tables `objects` and `samples` as CSV and
Parquet; `index.html` is of the last run. The order of writing (files, objects, then the row) makes a batch that was stopped go on where it was.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cloister import __version__
from cloister.foundation.errors import BadInput, CloisterError, Conflict, OutOfSpace
from cloister.foundation.files import write_atomically
from cloister.foundation.spreadsheets import harmless
from cloister.storage.locking import FolderLock
from cloister.tools import types as t
from cloister.tools.batch import object_rows, objects
from cloister.tools.batch.discovery import RECORD, Found
from cloister.tools.batch.line import Job, jobs
from cloister.tools.batch.samples import COLUMNS, Conditions, Sample, Samples
from cloister.tools.inputs import called
from cloister.tools.run import Prepared, Progress, Result, Source, free_label, shown_names
from cloister.tools.summary import Index


@dataclass(frozen=True)
class Done:
    """A file that is done.

    Args:
        result: what came of it. Of one that was done before: what is kept of it, so no outputs.
        before: it was done before and not computed again.
    """

    result: Result
    before: bool = False


class Folder:
    """A folder with results, held by one process at a time. Made by `hold`.

    Args:
        out: the folder.
        prepared: the tool, with what the user chose.
        record: the table in the folder.
        plant: the plant's own database, or None.
    """

    def __init__(self, out: Path, prepared: Prepared, record: Samples, plant: Samples | None) -> None:
        self.out = out
        self.prepared = prepared
        self.record = record
        self.conditions = Conditions.of(
            prepared.tool.digest,
            prepared.chosen.settings,
            prepared.micrometres_per_pixel,
            prepared.chosen.calibration,
        )
        self._plant = plant

    def kept(self, source: Source, *, whole: bool) -> Result | None:
        """What was computed before for the same path, content, tool and settings, if all its files are still there.

        Args:
            source: the file.
            whole: with its objects, and its overlay for the page over all.
        """
        if source.error is not None:
            return None
        sample = self.record.get(self.conditions.key(absolute(source.path), source.digest))
        if sample is None or not sample.ok:
            return None
        files = tuple(self.out / name for name in json.loads(sample.files))
        if not all(os.path.lexists(file) for file in files):
            return None
        asked = {f"{sample.label}.{name}" for name in self.prepared.chosen.asked}
        if not asked <= {file.stem for file in files}:
            return None
        return self._rebuilt(sample, source, files, whole=whole)

    def _rebuilt(self, sample: Sample, source: Source, files: tuple[Path, ...], *, whole: bool) -> Result:
        kept: dict[str, Any] = json.loads(sample.figures)
        piece = objects.piece(self.out, sample.label)
        overlay = self.out / f"{sample.label}.overlay.png"
        outputs: dict[str, t.Value] = {}
        if whole and overlay in files:
            outputs["overlay"] = t.Picture(overlay.read_bytes(), "image/png")
        return Result(
            name=source.shown,
            error=None,
            count=sample.count,
            figures=t.Figures(kept["values"], kept["units"]) if kept else None,
            table=objects.read_piece(piece) if whole and piece in files else None,
            outputs=outputs,
            seconds=sample.seconds,
            input_digest=sample.digest,
            tool_digest=sample.tool_digest,
            model_digests=dict(self.prepared.tool.manifest.models),
            files=tuple(file for file in files if file != piece),
            warnings=tuple(json.loads(sample.warnings)),
            path=source.path,
            width=sample.width,
            height=sample.height,
            micrometres_per_pixel=sample.um_per_px,
            calibration=self.prepared.chosen.calibration,
            certificate=self.prepared.tool.manifest.certificate,
        )

    def compute(
        self,
        source: Source,
        seen: os.stat_result | None,
        progress: Progress | None = None,
        *,
        failures: bool = True,
    ) -> Result:
        """Runs the tool on a file that was read, writes its results, then its row.

        Args:
            source: the file.
            seen: its size and times when it was read; None if it is not there.
            progress: told of every step.
            failures: write a row also if there is no result.

        Raises:
            OutOfSpace: the disk is full; there is no row.
            CloisterError: the record cannot be written.
        """
        label = self.label(source, ())
        return self.keep(
            source, seen, label, self.prepared.run(source, label, self.out, progress), failures=failures
        )

    def label(self, source: Source, taken: Collection[str]) -> str:
        """What a file's results are called; `taken` are names of files that are at work, so not in the record yet."""
        key = self.conditions.key(absolute(source.path), source.digest)
        before = self.record.get(key)
        if before is not None and before.label:
            return before.label
        if source.error is not None:
            return ""
        return free_label(source.path, lambda name: name in taken or self.record.label_taken(name, key))

    def keep(
        self,
        source: Source,
        seen: os.stat_result | None,
        label: str,
        result: Result,
        *,
        failures: bool = True,
    ) -> Result:
        """Writes the row, and the objects, of a file whose results are written; see `compute`."""
        file = absolute(source.path)
        key = self.conditions.key(file, source.digest)
        if isinstance(result.error, OutOfSpace):
            raise result.error
        if not result.ok and not failures:
            return result
        written = list(result.files)
        if result.table is not None:
            written.append(objects.write_piece(self.out, label, result.table))
        self.record.put(
            _row(
                self.prepared,
                self.conditions,
                file,
                key,
                result,
                label if result.ok else "",
                seen,
                written,
                self.out,
            )
        )
        return result

    def send(self) -> CloisterError | None:
        """Gives the plant's own database the rows that it does not have; the error that stopped it, if any did."""
        if self._plant is None:
            return None
        try:
            while rows := self.record.unsent(100):
                for row in rows:
                    self._plant.put(replace(row, sent=True), self._found(row))
                    self.record.mark_sent(row)
        except CloisterError as error:
            return error
        return None

    def _found(self, sample: Sample) -> list[dict[str, Any]]:
        """A picture's objects as rows. Raises `BadInput` if what was kept of them cannot be read."""
        place = objects.piece(self.out, sample.label)
        if place.relative_to(self.out).as_posix() not in json.loads(sample.files):
            return []
        return object_rows.rows_of(sample.key, sample.digest, objects.read_piece(place))


@contextmanager
def hold(out: Path, prepared: Prepared, plant: Samples | None = None) -> Iterator[Folder]:
    """A folder for results, made if it is missing, and this process's alone while it is held.

    Raises:
        Conflict: another process writes into it.
        Refused: a newer Cloister wrote its record.
    """
    out.mkdir(parents=True, exist_ok=True)
    try:
        lock = FolderLock(out)
    except Conflict:
        raise Conflict(
            f"Another process writes its results into {called(out)}.",
            "Two at once would take each other's names.",
            "Wait for it, or name another folder with --out.",
        ) from None
    try:
        record = Samples.open_file(out / RECORD)
        try:
            yield Folder(out, prepared, record, plant)
        finally:
            record.close()
    finally:
        lock.release()


def run_batch(
    prepared: Prepared,
    found: Sequence[Found],
    folder: Folder | None = None,
    *,
    again: bool = False,
    objects_wanted: bool = True,
    progress: Progress | None = None,
) -> Iterator[Done]:
    """Runs a tool over files, `prepared.at_once` at a time, if they are not too large for that together.

    Args:
        prepared: the tool, with what the user chose.
        found: the files, as `discover` gives them.
        folder: for results; None: nothing is written or drawn, and nothing known of what was done before.
        again: compute also what was done before.
        objects_wanted: give what was done before with its objects.
        progress: told of every step of the first of those at work.

    Yields:
        The outcome of each file, in order. What comes after the last that was taken may be written, but is in no record.

    Raises:
        CloisterError: results or the record cannot be written; what was done until then stays done.
    """
    index = Index(prepared.tool, pictures=len(found))
    whole = index.thumbnails or objects_wanted
    known: dict[Path, Result] = {}

    def begin(job: Job, taken: Collection[str]) -> None:
        kept = None if again or folder is None else folder.kept(job.source, whole=whole)
        if kept is not None:
            known[job.path] = kept
        elif folder is None:
            job.start(workers, "", None)
        else:
            job.start(workers, folder.label(job.source, taken), folder.out)

    named = zip(found, shown_names([item.path for item in found]), strict=True)
    workers = ThreadPoolExecutor(prepared.at_once, "picture")
    try:
        for job in jobs(prepared, named, begin, progress):
            done = _finished(job, known.pop(job.path, None), folder, progress)
            index.add(done.result)
            yield replace(done, result=replace(done.result, outputs={}))
            del done, job
    finally:
        workers.shutdown(cancel_futures=True)
    if folder is not None:
        write_atomically(folder.out / "index.html", index.page())


def _finished(job: Job, kept: Result | None, folder: Folder | None, progress: Progress | None) -> Done:
    """The outcome of a file, when it is there, and its row written."""
    result = kept
    if result is None:
        assert job.work is not None
        result = job.work.result()
    if progress is not None:
        progress(job.shown, "done", 1.0)
    if kept is not None:
        return Done(kept, before=True)
    # What could not be looked for has no row: there is nothing it could be about.
    if folder is None or job.missing:
        return Done(result)
    return Done(folder.keep(job.source, job.seen, job.label, result))


def check_places(paths: Iterable[Path], out: Path) -> None:
    """Raises `BadInput` if results would lie among the pictures, where the next run would take them for pictures."""
    for path in paths:
        if path.is_dir() and out.exists() and path.samefile(out):
            raise BadInput(
                f"Results would be written among the pictures in {called(path)}.",
                "The next run would take the drawings for pictures.",
                f"Name another folder, for example --out {called(path / 'results')}",
            )


def absolute(path: Path) -> str:
    """A file's path as the record has it: from the root, links as they are named, escaped as `inputs.called`."""
    return called(os.path.abspath(path))  # noqa: PTH100 - links stay as they are named


def _row(
    prepared: Prepared,
    conditions: Conditions,
    file: str,
    key: str,
    result: Result,
    label: str,
    seen: os.stat_result | None,
    written: Sequence[Path],
    out: Path,
) -> Sample:
    now = time.time()
    values = {} if result.figures is None else dict(result.figures.values)
    units = {} if result.figures is None else dict(result.figures.units)
    measured = _measured(values)
    sizes: dict[str, Any] = {
        name: values.get(f"{measured}_{name}") if measured else None
        for name in ("d10", "d50", "d90", "mean", "deviation")
    }
    error = None if result.error is None else json.dumps(told(result.error), ensure_ascii=False)
    counted = values.get("agglomerates")
    return Sample(
        key=key,
        file=file,
        digest=result.input_digest,
        size=0 if seen is None else seen.st_size,
        modified_ns=0 if seen is None else seen.st_mtime_ns,
        taken=int(now if seen is None else seen.st_mtime),
        computed=int(now),
        seconds=round(result.seconds, 3),
        tool=prepared.tool.name,
        version=prepared.tool.manifest.version,
        tool_digest=prepared.tool.digest,
        settings=conditions.settings,
        um_per_px=conditions.um_per_px,
        label=label,
        error=error,
        width=result.width,
        height=result.height,
        count=result.count,
        count_low=values.get("count_low"),
        count_high=values.get("count_high"),
        agglomerates=objects.agglomerates(result.table) if counted is None else int(counted),
        measured=measured,
        unit=units.get(f"{measured}_d50", ""),
        **sizes,
        figures=json.dumps({"values": values, "units": units}, ensure_ascii=False),
        warnings=json.dumps(list(result.warnings), ensure_ascii=False),
        files=json.dumps([path.relative_to(out).as_posix() for path in written]),
        calibration=conditions.calibration,
        models=json.dumps(dict(result.model_digests)),
        certificate=prepared.tool.manifest.certificate or "",
        software=f"Cloister {__version__}",
    )


def _measured(values: dict[str, Any]) -> str:
    """What a tool's sizes are of: the diameter, or else the first that has a D50."""
    if "diameter_d50" in values:
        return "diameter"
    return next((name.removesuffix("_d50") for name in values if name.endswith("_d50")), "")


def told(error: CloisterError) -> dict[str, str]:
    """An error as a row and a program's answer say it."""
    return {"what": error.what, "why": error.why, "remedy": error.remedy}


def write_tables(folder: Folder) -> tuple[Path, ...]:
    """Puts together, of all that the folder's record has for the same tool and settings, `objects` and `samples`.

    Both are written as CSV and as Parquet; see `objects.combine` for the objects. The samples' CSV has times as ISO 8601, UTC.

    Raises:
        BadInput: the objects of a picture that was done before cannot be read.
    """
    pieces = (
        (sample.file, objects.piece(folder.out, sample.label))
        for sample in folder.record.all(folder.conditions)
        if sample.ok and sample.label
    )
    there = [(file, path) for file, path in pieces if path.exists()]
    made = objects.combine(folder.out, there)[:2] if there else ()
    return (*made, *_samples_tables(folder))


_KEPT_INSIDE = frozenset({"key", "modified_ns", "label", "files", "sent"})


def _samples_tables(folder: Folder) -> tuple[Path, Path]:
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    names = [name for name in COLUMNS if name not in _KEPT_INSIDE]
    rows = list(folder.record.all(folder.conditions))
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    schema = pa.schema([pa.field(name, _arrow_type(name)) for name in names])
    csv_path, parquet_path = folder.out / "samples.csv", folder.out / "samples.parquet"
    data = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=schema), data)
    write_atomically(parquet_path, data.getvalue().to_pybytes())
    for name in ("taken", "computed"):
        columns[name] = [iso(value) for value in columns[name]]
    lines = io.BytesIO()
    pa_csv.write_csv(
        pa.table({name: [harmless(value) for value in values] for name, values in columns.items()}),
        lines,
    )
    write_atomically(csv_path, lines.getvalue())
    return csv_path, parquet_path


def _arrow_type(name: str) -> Any:
    import pyarrow as pa

    if name in ("taken", "computed"):
        return pa.timestamp("s", tz="UTC")
    kinds: dict[str, Callable[[], Any]] = {"int": pa.int64, "float": pa.float64, "str": pa.string}
    annotation = str(Sample.__dataclass_fields__[name].type).split(" ")[0]
    return kinds[annotation]()


def iso(seconds: int) -> str:
    """A time as ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
