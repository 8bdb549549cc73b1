"""The response cache: pure rules, and the flow that applies them."""
