"""The papers' tables in small, on the street world: `python -m finetune reproduce`."""
