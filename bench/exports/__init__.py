"""What a study holds, for other programs: tables, a leaderboard, and transcripts.

:mod:`~bench.exports.tables` gathers a table, :mod:`~bench.exports.leaderboard` the one over several studies,
:mod:`~bench.exports.written` writes tables as CSV, parquet, Markdown and LaTeX, :mod:`~bench.exports.texts` writes the
transcripts of a run, and :mod:`~bench.exports.command` is ``asr-sweep export``.
"""
