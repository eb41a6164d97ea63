"""Where utterances come from: one module a kind of corpus, each of which makes :class:`~.entries.Entry` of its rows."""
