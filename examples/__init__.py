"""Apps to try the suite on, and the demo that replays a real log against one of them."""
