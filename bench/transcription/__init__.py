"""Any recording to text with chosen settings, through the inference core that studies measure; nothing is measured.

:mod:`~bench.transcription.settings` composes the settings, those of a study's recommendation among them,
:mod:`~bench.transcription.run` transcribes, :mod:`~bench.transcription.spoken` gives every word a time,
:mod:`~bench.transcription.subtitles` makes words into cues, :mod:`~bench.transcription.formats` writes text, subtitles
and JSON, and :mod:`~bench.transcription.command` is ``asr-sweep transcribe``.
"""
