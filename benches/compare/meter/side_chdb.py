"""ClickHouse, in process: a MergeTree table, deduplicated in the query."""

import os
import shutil

import common


def version():
    import chdb

    return f"ClickHouse (chDB {chdb.__version__})"


QUERY = """
SELECT customer, meter, intDiv(time, 3600000) AS hour, toUInt64(count()), sum(units), max(units),
       argMax(units, time)
FROM (
    SELECT any(customer) AS customer, any(meter) AS meter, any(time) AS time, any(units) AS units
    FROM w.events GROUP BY hi, lo
)
GROUP BY customer, meter, hour
"""


def main():
    options = common.arguments(version)
    from chdb import session

    path = os.path.join(options.dir, "chdb")
    shutil.rmtree(path, ignore_errors=True)
    with common.Clock() as load:
        base = session.Session(path)
        base.query(f"SET max_threads = {options.threads}")
        base.query(f"SET max_insert_threads = {options.threads}")
        base.query("CREATE DATABASE w ENGINE = Atomic")
        base.query(
            "CREATE TABLE w.events (hi UInt64, lo UInt64, customer UInt64, meter UInt16,"
            " time Int64, units Int64) ENGINE = MergeTree ORDER BY (hi, lo)"
        )
        given = common.table(common.columns(options))
        base.query("INSERT INTO w.events SELECT hi, lo, customer, meter, time, units"
                   " FROM Python(given)")
        del given
    rows, passes = common.twice(lambda: base.query(QUERY, "ArrowTable"))
    common.answer(options, lambda: common.arrow_totals(options, rows), load.sum(), **passes)
    base.close()
    shutil.rmtree(path, ignore_errors=True)


main()
