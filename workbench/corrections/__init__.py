"""Corrections that last: the store (one SQLite file), its append-only history and the views derived from it.

store.py      connections, migrations, errors               migrations.py  the schema, step by step
log.py        history rows: append, fold, chain of hashes    verify.py      which row was tampered with
documents.py  records ⇄ the JSON of history rows             history.py     save, undo, redo, list
clips.py      clips, analyses, `current`                     layers.py      several annotators, adopt, agreement
catalogue.py  the library: a line a clip                    place.py      where the store lies by default
intake.py     imported records into the store                taxonomy.py    kinds of events
kinds.py      the kinds that a store starts with             copies.py      backups of a store
"""
