"""DuckDB: a table of its own, deduplicated in the query; online with a primary key, on disk."""

import os
import time

import common

ROWS = """
SELECT customer, meter, (time // 3600000) AS hour, count(*), sum(units)::BIGINT, max(units),
       arg_max(units, time)
FROM {events} GROUP BY customer, meter, hour
"""
DISTINCT = "(SELECT DISTINCT ON (hi, lo) * FROM events)"


def version():
    import duckdb

    return f"DuckDB {duckdb.__version__}"


def connect(options, path=":memory:"):
    import duckdb

    return duckdb.connect(path, config={"threads": options.threads})


def batch(options):
    with common.Clock() as load:
        base = connect(options)
        given = common.table(common.columns(options))
        base.execute("CREATE TABLE events AS SELECT * FROM given")
        del given
    query = ROWS.format(events=DISTINCT)
    rows, passes = common.twice(lambda: base.sql(query).to_arrow_table())
    common.answer(options, lambda: common.arrow_totals(options, rows), load.sum(), **passes)


def online(options):
    path = os.path.join(options.dir, "online.duckdb")
    for name in (path, path + ".wal"):
        if os.path.exists(name):
            os.remove(name)
    base = connect(options, path)
    base.execute(
        "CREATE TABLE events (hi UBIGINT, lo UBIGINT, customer UBIGINT, meter USMALLINT,"
        " time BIGINT, units BIGINT, PRIMARY KEY (hi, lo))"
    )
    events = common.columns(options)
    batches, queries, began = common.Clock(), common.Clock(), time.perf_counter()
    for start, end, customer in common.asked_customers(events, options):
        given = common.table(events, start, end)
        with batches:
            base.execute("INSERT OR IGNORE INTO events SELECT * FROM given")
        with queries:
            base.execute(
                "SELECT meter, count(*), sum(units), max(units), arg_max(units, time)"
                " FROM events WHERE customer = ? GROUP BY meter",
                [customer],
            ).fetchall()
    seconds, peak = time.perf_counter() - began, common.peak_mib()
    rows = base.sql(ROWS.format(events="events")).to_arrow_table()
    common.answer(
        options,
        lambda: common.arrow_totals(options, rows),
        0.0,
        batches,
        queries,
        seconds=seconds,
        peak_mib=peak,
    )
    base.close()
    os.remove(path)


def main():
    options = common.arguments(version)
    online(options) if options.online else batch(options)


main()
