"""What racing saves on one long recording, and whether it keeps the winner: ``python -m benchmarks.racing``.

The grid of chunk 5, 10, 20, 30 s and stride 0, 1, 2 s of whisper-tiny.en runs over the recording that
``ASR_SWEEP_SPEECH`` names, with the merge that loses text and the one that does not: to the end, and as races, one that
ends what is worse than the best so far and one that ends what is not better by a margin. Races begin with the longest
windows and widest strides, as anybody would who had to bet on one setting: whom to beat decides what a race saves.

Three shares are told: of the recordings' seconds, of the windows (each of which costs a Whisper 30 s of audio, since it
pads them to that), and of the seconds that inference took.
"""

import os
import sys
import tempfile
from pathlib import Path

import pandas as pd

import bench

_GRID = ["decode.chunk_length_s=5,10,20,30", "decode.stride_length_s=0,1,2"]
_SETTING = ["decode.chunk_length_s", "decode.stride_length_s"]
_LEVEL = 0.1
_MARGINS = (0.0, 0.25)
_FIRST = "search.enqueue=[{decode.chunk_length_s: 30, decode.stride_length_s: 2}]"


def main() -> None:
    """Run both and compare."""
    speech = os.environ.get("ASR_SWEEP_SPEECH")
    if not speech:
        sys.exit("set ASR_SWEEP_SPEECH to a folder that holds longform/manifest.csv")
    data = ["data=manifest", f"data.path={Path(speech).resolve()}/longform/manifest.csv"]
    for merge in ("pipeline", "aligned"):
        with tempfile.TemporaryDirectory() as folder:
            base = [
                "-m", f"results.root={folder}", *data, *_GRID,
                "measure.warmup=0", "threads=1", f"decode.merge={merge}", "decode.batch_size=1",
            ]  # fmt: skip
            whole = bench.run(*base, "study=whole")
            windows = bench.load_utterances(f"{folder}/whole").set_index("trial_id")["windows"]
            for margin in _MARGINS:
                raced = bench.run(
                    *base,
                    f"study=raced_{margin:g}",
                    "search.racing=true",
                    f"search.racing_level={_LEVEL}",
                    f"search.racing_margin={margin}",
                    "search.objectives=[wer]",
                    _FIRST,
                )
                _print(f"merge={merge}, level {_LEVEL:g}, margin {margin:g}", raced, whole, windows)


def _print(race: str, raced: pd.DataFrame, whole: pd.DataFrame, windows: "pd.Series[int]") -> None:
    table = raced.set_index("trial_id").join(whole.set_index("trial_id")["wer"].rename("whole_wer")).join(windows)
    table = table.sort_values("trial_number")
    shown = table[[*_SETTING, "status", "race_share", "race_wer", "whole_wer", "windows"]]
    print(f"{race}, in the order they ran:")
    print(shown.to_string(index=False, float_format=lambda value: f"{value:.3f}"), flush=True)
    audio = table["race_share"].mean()
    share = (table["windows"] * table["race_share"]).sum() / table["windows"].sum()
    seconds = raced["race_stage_s"].map(sum).sum() / whole["inference_s"].map(sum).sum()
    kept = table.loc[table["status"] == "ok", "whole_wer"].min()
    best = table["whole_wer"].min()
    print(
        f"processed: {audio:.0%} of the recordings' seconds, {share:.0%} of the windows, {seconds:.0%} of the inference"
        f" time; best WER kept {kept:.2%}, of all {best:.2%}\n"
    )


if __name__ == "__main__":
    main()
