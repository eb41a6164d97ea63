"""The dry run: a grid's forecast from a few short runs, made and stored while nothing else of the study runs."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.agenda import Agenda
from bench.claim import claimed
from bench.config import AUTO, Config, OnOom, Strategy, flatten
from bench.data.lengths import lengths_s
from bench.errors import DataError
from bench.execute.local import LocalExecutor
from bench.forecast.precision import precision_lines
from bench.forecast.probes import Part, Point, Probe, point_of, try_out
from bench.forecast.record import Forecast, ProbeRecord, Totals, TrialForecast, write_forecast
from bench.forecast.strata import Foretold, Stratum, choose, stratum_of
from bench.jobs import JobMaker
from bench.ledger import Ledger
from bench.measure.environment import describe
from bench.records import Job, Utterance
from bench.search.compose import Composed
from bench.storage import place, workspace

_MEASURED = ("measure.warmup", "measure.repeats", "measure.single_stream")

Tell = Callable[[int, int, Probe], None]
"""Is told of each probe when it has ended: its number from 1, how many there are, and what came of it."""


def forecast_study(study: Composed, command: str, tell: Tell) -> Forecast:
    """Predict what a grid will take, and store that beside where its runs will be.

    Args:
        study: The grid.
        command: The command line that asked for it.
        tell: Told how it goes.

    Raises:
        StoreError: Another process runs the study.
        DataError: A manifest cannot be used, or none of its recordings can.
        ModelError: A model's files cannot be had.
        AssetError: A packaged model or recording cannot be had.
    """
    maker = JobMaker(study.grid.points)
    study_dir = place(study.config.results.root) / study.config.study
    cure = "it would disturb what is timed, so wait for it, or choose another name with study=NAME"
    with claimed(study_dir, cure):
        ledger = Ledger(study_dir)
        agenda = Agenda(study, ledger, maker)
        in_order = [maker.jobs(candidate)[0].trial_id for candidate in study.grid.candidates]
        logs = workspace(study_dir) / "logs"
        forecast = _Planner(study, agenda.jobs, in_order, ledger, logs).forecast(command, tell)
        told = precision_lines(study.grid.points, maker)
        forecast = dataclasses.replace(forecast, notes=(*told, *forecast.notes))
        write_forecast(study_dir, forecast)
        return forecast


class _Planner:
    """Makes the forecast of a study: ``jobs`` are all its runs in the order they would run, ``trials`` the grid's."""

    def __init__(
        self, study: Composed, jobs: Sequence[Job], trials: Sequence[str], ledger: Ledger, log_dir: Path
    ) -> None:
        self._study = study
        self._jobs = jobs
        self._ledger = ledger
        self._log_dir = log_dir
        self._parts: dict[tuple[Utterance, ...], Part] = {}
        first = {job.trial_id: job for job in reversed(jobs)}
        self._points = {trial_id: point_of(first[trial_id], self._part(first[trial_id])) for trial_id in trials}
        self._prices = dict(flatten(study.config.measure.price_per_hour))

    def forecast(self, command: str, tell: Tell) -> Forecast:
        """Try what is to be tried, and conclude."""
        strata: dict[tuple[object, ...], list[Point]] = {}
        for point in self._points.values():
            strata.setdefault(stratum_of(point.config), []).append(point)
        chosen = {name: choose(points) for name, points in strata.items()}
        executor = LocalExecutor(self._log_dir, describe())
        executor.warm_up()
        total = sum(map(len, chosen.values()))
        probes: list[Probe] = []
        told: dict[str, Foretold] = {}
        for name, wanted in chosen.items():
            of_this: list[Probe] = []
            for each in wanted:
                of_this.append(try_out(each, len(probes) + len(of_this) + 1, executor))
                tell(len(probes) + len(of_this), total, of_this[-1])
            probes += of_this
            stratum = Stratum(of_this)
            told |= {point.job.trial_id: stratum.foretell(point) for point in strata[name]}
        trials = tuple(self._trial(trial_id, told[trial_id]) for trial_id in self._points)
        return Forecast(
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command,
            study=self._study.config.study,
            measured={name: value for name, value in flatten(self._study.config) if name in _MEASURED},
            trials=trials,
            totals=self._totals(told, probes),
            probes=tuple(map(_record, probes)),
            notes=tuple(self._notes(len(strata), probes)),
        )

    def _part(self, job: Job) -> Part:
        if job.utterances not in self._parts:
            known = [
                (utterance, seconds)
                for utterance, seconds in zip(job.utterances, lengths_s(job.utterances), strict=True)
                if seconds is not None
            ]
            if not known:
                raise DataError(
                    f"none of the {len(job.utterances)} recordings of {job.data_name} can be read; check their paths"
                )
            self._parts[job.utterances] = Part(tuple(each for each, _ in known), tuple(length for _, length in known))
        return self._parts[job.utterances]

    def _to_go(self, trial_id: str | None = None) -> list[Job]:
        return [
            job for job in self._jobs if trial_id in (None, job.trial_id) and self._ledger.wants(job.run_id, job.config)
        ]

    def _cost(self, config: Config, seconds: float | None) -> float | None:
        price = self._prices[config.device.partition(":")[0]]
        return None if price is None or seconds is None else seconds / 3600 * price

    def _trial(self, trial_id: str, foretold: Foretold) -> TrialForecast:
        job = self._points[trial_id].job
        return TrialForecast(
            trial_id=trial_id,
            settings=json.loads(job.point),
            runs=sum(each.trial_id == trial_id for each in self._jobs),
            to_go=len(self._to_go(trial_id)),
            predicted_s=foretold.seconds,
            predicted_peak_rss_mib=foretold.peak_rss_mib,
            predicted_peak_gpu_mib=foretold.peak_gpu_mib,
            predicted_cost=self._cost(job.config, foretold.seconds),
            unknown=foretold.unknown,
        )

    def _totals(self, told: dict[str, Foretold], probes: Sequence[Probe]) -> Totals:
        to_go = self._to_go()
        known = [told[job.trial_id] for job in to_go if told[job.trial_id].unknown is None]
        costs = [self._cost(job.config, told[job.trial_id].seconds or 0.0) for job in to_go]
        rss = [one.peak_rss_mib for one in known if one.peak_rss_mib is not None]
        gpu = [one.peak_gpu_mib for one in known if one.peak_gpu_mib is not None]
        return Totals(
            runs=len(self._jobs),
            done_before=len(self._jobs) - len(to_go),
            to_go=len(to_go),
            unknown=len(to_go) - len(known),
            skipped=len(self._study.grid.skipped),
            predicted_s=sum(one.seconds or 0.0 for one in known),
            predicted_all_s=sum(told[job.trial_id].seconds or 0.0 for job in self._jobs),
            predicted_cost=None if None in costs or not costs else sum(cost or 0.0 for cost in costs),
            predicted_peak_rss_mib=max(rss, default=None),
            predicted_peak_gpu_mib=max(gpu, default=None),
            audio_decode_s=self._undecoded_s(probes),
            probes_s=sum(probe.wall_s for probe in probes),
            within_budget=self._within_budget(to_go, told),
        )

    def _within_budget(self, to_go: Sequence[Job], told: dict[str, Foretold]) -> int | None:
        """Count the runs, in their order, that end before a budget is spent; what is spent already counts too."""
        search = self._study.config.search
        if search.budget_s is None and search.budget_cost is None:
            return None
        spent_s, spent = self._ledger.spent_s(), self._ledger.spent_cost(self._prices)
        for number, job in enumerate(to_go):
            seconds = told[job.trial_id].seconds or 0.0
            spent_s += seconds
            spent += self._cost(job.config, seconds) or 0.0
            if (search.budget_s is not None and spent_s > search.budget_s) or (
                search.budget_cost is not None and spent > search.budget_cost
            ):
                return number
        return len(to_go)

    def _undecoded_s(self, probes: Sequence[Probe]) -> float:
        """Predict what decoding the rest of the audio takes, where the probes' own had not been decoded before.

        A probe decodes whole files, whatever it takes of them.
        """
        decoding = [probe for probe in probes if probe.audio_decode_s]
        decoded_s = sum(probe.audio_s for probe in decoding)
        rest_s = max((part.audio_s for part in self._parts.values()), default=0.0) - decoded_s
        if not decoding or decoded_s <= 0 or rest_s <= 0:
            return 0.0
        return sum(probe.audio_decode_s for probe in decoding) / decoded_s * rest_s

    def _notes(self, strata: int, probes: Sequence[Probe]) -> list[str]:
        configs = [point.config for point in self._points.values()]
        tried = "1 probe" if len(probes) == 1 else f"{len(probes)} probes"
        where = "" if strata == 1 else f" for {strata} combinations of model and device"
        notes = [
            f"from {tried}{where}: time is taken to grow with the number of windows and with the seconds they hold, and"
            " the machine and the speech to stay as they were"
        ]
        if any(probe.wanted.levels for probe in probes):
            notes.append(
                "every value of the other settings was tried once; what it changed is taken to hold with all others"
            )
        if doubted := [probe for probe in probes if probe.doubts]:
            notes.append(
                f"the timing of {len(doubted)} of the probes is not valid, so trust this less: {doubted[0].doubts[0]}"
            )
        if any(config.decode.batch_size == AUTO for config in configs):
            notes.append("decode.batch_size=auto depends on the memory that is free; its runs are foretold roughly")
        if coarse := sorted({config.decode.strategy.value for config in configs} - {Strategy.chunked.value}):
            notes.append(
                f"windows of decode.strategy={','.join(coarse)} cannot be foreseen; such runs are foretold roughly"
            )
        search = self._study.config.search
        more = [
            (search.racing, "search.racing ends some runs early"),
            (search.oom is OnOom.bisect, "search.oom=bisect adds runs where memory runs out"),
            (search.holdout > 0, "search.holdout adds a run on the data kept aside"),
            (self._study.config.measure.rerun_invalid > 0, "measure.rerun_invalid repeats runs with invalid timings"),
        ]
        return notes + [f"not counted: {what}" for applies, what in more if applies]


def _record(probe: Probe) -> ProbeRecord:
    return ProbeRecord(
        settings=json.loads(probe.wanted.point.job.point),
        why=probe.wanted.why,
        status=probe.status.value,
        reason=probe.reason,
        audio_s=probe.audio_s,
        windows=probe.decoded.windows,
        wall_s=probe.wall_s,
    )
