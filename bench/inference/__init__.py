"""The shared inference core: windows in, text out, every engine behind one interface."""
