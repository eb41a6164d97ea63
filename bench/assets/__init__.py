"""Real weights and real speech that need no model hub.

Everything here comes out of ordinary packages from the Python index: Whisper weights, two recordings with known
words, and a speech synthesiser for as much more as is wanted. What has to be derived from a package (weights in
another format, a synthesised lecture) is built once into the user's cache and checked at every use.

Nothing is imported here, so that asking where an asset lies costs nothing; take the module you need:
`bench.assets.weights`, `bench.assets.recordings`, `bench.assets.voices`.
"""
