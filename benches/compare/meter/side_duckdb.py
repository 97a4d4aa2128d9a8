"""DuckDB: a table of its own in memory, deduplicated in the query; or on disk, batch by batch, with a
primary key or deduplicated in the query."""

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


def durable(options):
    path = os.path.join(options.dir, "durable.duckdb")
    for name in (path, path + ".wal"):
        if os.path.exists(name):
            os.remove(name)
    base = connect(options, path)
    exact = options.durable == "key"
    base.execute(
        "CREATE TABLE events (hi UBIGINT, lo UBIGINT, customer UBIGINT, meter USMALLINT,"
        f" time BIGINT, units BIGINT{', PRIMARY KEY (hi, lo)' if exact else ''})"
    )
    take = f"INSERT {'OR IGNORE ' if exact else ''}INTO events SELECT * FROM given"
    # Repeats are of the same customer, so only what was asked for is deduplicated.
    own = "SELECT * FROM events WHERE customer = ?"
    own = own if exact else own.replace("*", "DISTINCT ON (hi, lo) *")
    ask = (
        "SELECT meter, count(*), sum(units), max(units), arg_max(units, time)"
        f" FROM ({own}) GROUP BY meter"
    )
    events = common.columns(options)
    batches, queries, making = common.Clock(), common.Clock(), common.Clock()
    began = time.perf_counter()
    for start, end, customer in common.asked_customers(events, options):
        with making:
            given = common.table(events, start, end)  # noqa: F841: the statement names it
        with batches:
            base.execute(take)
        if options.online:
            with queries:
                base.execute(ask, [customer]).fetchall()
    seconds, peak = time.perf_counter() - began - making.sum(), common.peak_mib()
    rows = base.sql(ROWS.format(events="events" if exact else DISTINCT)).to_arrow_table()
    common.answer(
        options,
        lambda: common.arrow_totals(options, rows),
        making.sum(),
        batches,
        queries,
        seconds=seconds,
        peak_mib=peak,
    )
    base.close()
    os.remove(path)


def main():
    options = common.arguments(version)
    durable(options) if options.durable else batch(options)


main()
