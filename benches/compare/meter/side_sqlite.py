"""SQLite: a unique index on the identifier and an upsert into the rows; WAL, synced, on disk."""

import os
import sqlite3
import time

import common

TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA cache_size = -1000000;
CREATE TABLE events (hi INTEGER, lo INTEGER, customer INTEGER, meter INTEGER, time INTEGER,
                     units INTEGER, UNIQUE (hi, lo));
CREATE TABLE usage (customer INTEGER, meter INTEGER, hour INTEGER, count INTEGER, sum INTEGER,
                    max INTEGER, last INTEGER, last_at INTEGER,
                    PRIMARY KEY (customer, meter, hour)) WITHOUT ROWID;
"""
TAKE = "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?)"
ROLL = """
INSERT INTO usage
SELECT customer, meter, time / 3600000, 1, units, units, units, time FROM events WHERE rowid > ?
ON CONFLICT DO UPDATE SET
    count = count + 1, sum = sum + excluded.sum, max = max(max, excluded.max),
    last = CASE WHEN excluded.last_at >= last_at THEN excluded.last ELSE last END,
    last_at = max(last_at, excluded.last_at)
"""
ASK = """
SELECT meter, sum(count), sum(sum), max(max), last, max(last_at) FROM usage WHERE customer = ?
GROUP BY meter
"""


def version():
    return f"SQLite {sqlite3.sqlite_version}"


def main():
    import numpy as np

    options = common.arguments(version)
    path = os.path.join(options.dir, "events.sqlite")

    def remove():
        for name in (path, path + "-wal", path + "-shm"):
            if os.path.exists(name):
                os.remove(name)

    remove()
    base = sqlite3.connect(path, isolation_level=None)
    base.executescript(TABLES)
    with common.Clock() as load:
        events = common.columns(options)
        # Numbers of 64 bits without a sign are kept as those with one, which have the same bits.
        given = [np.asarray(column) for column in events.values()]
        given = [c.view(np.int64) if c.dtype == np.uint64 else c for c in given]
    batches, queries, began = common.Clock(), common.Clock(), time.perf_counter()
    making = common.Clock()
    for start, end, customer in common.asked_customers(events, options):
        with making:
            rows = list(zip(*(column[start:end].tolist() for column in given)))
        with batches:
            last = base.execute("SELECT coalesce(max(rowid), 0) FROM events").fetchone()[0]
            base.execute("BEGIN IMMEDIATE")
            base.executemany(TAKE, rows)
            base.execute(ROLL, (last,))
            base.execute("COMMIT")
        if options.online:
            customer = customer - (1 << 64) if customer >= 1 << 63 else customer
            with queries:
                base.execute(ASK, (customer,)).fetchall()
    # Turning columns into the objects of Python is not SQLite's work.
    seconds, peak = time.perf_counter() - began - making.sum(), common.peak_mib()
    rows = base.execute("SELECT customer, meter, hour, count, sum, max, last FROM usage").fetchall()
    common.answer(
        options,
        lambda: common.totals(options, [np.array(c, dtype=np.int64) for c in zip(*rows)]),
        load.sum() + making.sum(),
        batches,
        queries,
        seconds=seconds,
        peak_mib=peak,
    )
    base.close()
    remove()


main()
