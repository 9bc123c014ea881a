"""The schema, as a list of steps that are never edited once released; each imports nothing of ours.

`history` is the only truth. `subjects` holds what follows from it (`workbench.corrections.log.fold`), so that a page
does not replay anything; `verify` compares the two. The views `events`, `captions`, `instances` and `turns` give
the current state column by column to whoever opens the file with another SQLite tool.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

APPLICATION_ID = 0x414E574B  # "ANWK": tells this file from those of other programs
MIGRATIONS = Migrations("workbench.corrections")

_TABLES = (
    "CREATE TABLE annotators (name TEXT PRIMARY KEY, added_at TEXT NOT NULL)",
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE clips (
        id INTEGER PRIMARY KEY,
        sha256 TEXT UNIQUE,
        name TEXT NOT NULL,
        added_at TEXT NOT NULL
    )""",
    "CREATE INDEX clips_name ON clips (name)",
    """CREATE TABLE analyses (
        id INTEGER PRIMARY KEY,
        clip_id INTEGER NOT NULL REFERENCES clips (id),
        at TEXT NOT NULL,
        profile TEXT NOT NULL,
        adapter TEXT,
        parameters TEXT NOT NULL,
        versions TEXT NOT NULL,
        document TEXT NOT NULL,
        digest TEXT NOT NULL
    )""",
    "CREATE INDEX analyses_clip ON analyses (clip_id, id)",
    """CREATE TABLE history (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        step INTEGER NOT NULL,
        at TEXT NOT NULL,
        annotator TEXT NOT NULL REFERENCES annotators (name),
        layer TEXT NOT NULL,
        clip_id INTEGER REFERENCES clips (id),
        subject TEXT NOT NULL,
        subject_id TEXT NOT NULL,
        action TEXT NOT NULL,
        field TEXT NOT NULL,
        before TEXT,
        after TEXT,
        reason TEXT,
        analysis_id INTEGER REFERENCES analyses (id),
        undoes INTEGER,
        previous_hash TEXT NOT NULL,
        hash TEXT NOT NULL
    )""",
    "CREATE INDEX history_clip ON history (clip_id, seq)",
    "CREATE INDEX history_layer ON history (clip_id, layer, seq)",
    "CREATE INDEX history_annotator ON history (annotator, seq)",
    """CREATE TABLE subjects (
        clip_id INTEGER NOT NULL,
        layer TEXT NOT NULL,
        subject TEXT NOT NULL,
        subject_id TEXT NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (clip_id, layer, subject, subject_id)
    ) WITHOUT ROWID""",
)

_VIEWS = {
    "events": "start_s end_s peak_s peak_score category judgement description analysis_text summary",
    "captions": "event start_s end_s caption",
    "instances": "event_id role category appearance motion first_frame last_frame",
    "turns": "kind question answer",
}


@MIGRATIONS()
def m001_create(db: Database) -> None:
    """Tables, views, and triggers that keep history and analyses as they were written."""
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in _TABLES:
        db.execute(statement)
    for name, columns in _VIEWS.items():
        fields = ", ".join(f"json_extract(document, '$.{column}') AS {column}" for column in columns.split())
        db.execute(
            f"CREATE VIEW {name} AS SELECT clip_id, layer, subject_id AS id, {fields} "
            f"FROM subjects WHERE subject = '{name[:-1]}'"
        )
    for table in ("history", "analyses"):
        for verb in ("UPDATE", "DELETE"):
            db.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
            )


@MIGRATIONS()
def m002_jobs(db: Database) -> None:
    """Training runs: what was asked for, how it went, and what a person decided about its adapter."""
    db.execute(
        """CREATE TABLE jobs (
            id INTEGER PRIMARY KEY,
            created_at TEXT NOT NULL,
            annotator TEXT NOT NULL REFERENCES annotators (name),
            request TEXT NOT NULL,
            state TEXT NOT NULL,
            started_at TEXT,
            ended_at TEXT,
            process TEXT,
            message TEXT NOT NULL DEFAULT '',
            adapter TEXT,
            decision TEXT,
            decided_by TEXT,
            decided_at TEXT,
            reason TEXT
        )"""
    )
    db.execute("CREATE INDEX jobs_state ON jobs (state, id)")
