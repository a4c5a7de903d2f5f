"""The demo: a story of four guests, told to a real cluster, watched live, and held against what was promised."""
