"""Whether this machine is fit for timings to be trusted, and what to mend first.

Readings (:mod:`~bench.doctor.facts`) are taken by :mod:`~bench.doctor.probes` and :mod:`~bench.doctor.steadiness`;
:mod:`~bench.doctor.hardware`, :mod:`~bench.doctor.devices`, :mod:`~bench.doctor.software` and
:mod:`~bench.doctor.timing` judge them, without looking at the machine themselves. torch is asked in a process of its
own.
"""

from bench.doctor.examination import LONGEST_PROBE_S, SHORTEST_PROBE_S, examine, lines

__all__ = ["LONGEST_PROBE_S", "SHORTEST_PROBE_S", "examine", "lines"]
