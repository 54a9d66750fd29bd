"""The settings: what people edit, and the gate that lets only tested settings send."""
