"""A study from Python in a few lines, over a model that needs no download; runs in seconds.

Run it with ``python examples/quickstart.py``, or paste it into a notebook, where a figure that ends a cell shows
inline. For the real thing, leave out ``engine=fake model=fake``.
"""

import bench

# The same arguments as on the command line: `asr-sweep run -m study=quickstart ...`
runs = bench.run(
    "-m",
    "study=quickstart",
    "engine=fake",
    "model=fake",
    "decode.chunk_length_s=5,10,30",
    "decode.stride_length_s=0,1,2",
)
print(runs[["decode.chunk_length_s", "decode.stride_length_s", "wer", "rtfx", "peak_rss_mib"]].to_string(index=False))

utterances = bench.load_utterances("results/quickstart")
print(utterances.groupby("utterance_id")["wer"].agg(["min", "max"]))

# A matplotlib figure: shown by a notebook, saved by a script.
heatmap = bench.figures.heatmap(runs, bench.metrics.WER)
assert heatmap is not None
heatmap.savefig("quickstart_wer.png")

print("report:", bench.write_report("results/quickstart") / "index.html")
