"""PostgreSQL: a server of its own, a unique index on the identifier, an upsert into the rows."""

import glob
import os
import shutil
import subprocess
import time

import common

TABLES = """
CREATE UNLOGGED TABLE given (hi bigint, lo bigint, customer bigint, meter smallint, time bigint,
                             units bigint);
CREATE TABLE events (hi bigint, lo bigint, customer bigint, meter smallint, time bigint,
                     units bigint, PRIMARY KEY (hi, lo));
CREATE TABLE usage (customer bigint, meter smallint, hour integer, count bigint, sum bigint,
                    max bigint, last bigint, last_at bigint, PRIMARY KEY (customer, meter, hour));
"""
TAKE = """
WITH taken AS (
    INSERT INTO events SELECT * FROM given ON CONFLICT DO NOTHING
    RETURNING customer, meter, time, units
)
INSERT INTO usage AS u
SELECT customer, meter, time / 3600000 AS hour, count(*), sum(units), max(units),
       (array_agg(units ORDER BY time DESC))[1], max(time)
FROM taken GROUP BY customer, meter, hour
ON CONFLICT (customer, meter, hour) DO UPDATE SET
    count = u.count + excluded.count, sum = u.sum + excluded.sum,
    max = greatest(u.max, excluded.max),
    last = CASE WHEN excluded.last_at >= u.last_at THEN excluded.last ELSE u.last END,
    last_at = greatest(u.last_at, excluded.last_at)
"""
ASK = """
SELECT meter, sum(count), sum(sum), max(max), (array_agg(last ORDER BY last_at DESC))[1]
FROM usage WHERE customer = %s GROUP BY meter
"""


def programs():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if not found:
        raise OSError("no initdb in /usr/lib/postgresql")
    return os.path.dirname(found[-1])


def version():
    import psycopg  # noqa: F401: asked whether it is there

    command = [os.path.join(programs(), "postgres"), "--version"]
    told = subprocess.run(command, capture_output=True, text=True)
    return f"PostgreSQL {told.stdout.split()[2]}"


class Server:
    """A server in a folder, reached by a socket there; it does not run as root."""

    def __init__(self, options):
        self.dir = os.path.join(options.dir, "postgres")
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        if os.getuid() == 0:
            # The folders above must let it through.
            shutil.chown(self.dir, "postgres")
        self.run("initdb", "-A", "trust", "-U", "counterfoil", "-D", self.data())
        settings = "-c shared_buffers=2GB -c max_wal_size=8GB -c listen_addresses= -c jit=off"
        self.run(
            "pg_ctl", "-w", "-D", self.data(), "-l", os.path.join(self.dir, "log"),
            "-o", f"{settings} -k {self.dir}", "start",
        )

    def data(self):
        return os.path.join(self.dir, "data")

    def run(self, program, *arguments):
        command = [os.path.join(programs(), program), *arguments]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def stop(self):
        self.run("pg_ctl", "-w", "-D", self.data(), "-m", "fast", "stop")
        shutil.rmtree(self.dir, ignore_errors=True)


def measure(options, base):
    import numpy as np

    base.execute(TABLES)
    events = common.columns(options)
    # Numbers of 64 bits without a sign are kept as those with one, which have the same bits.
    given = [np.asarray(column) for column in events.values()]
    given = [c.view(np.int64) if c.dtype == np.uint64 else c for c in given]
    batches, queries, making = common.Clock(), common.Clock(), common.Clock()
    began = time.perf_counter()
    for start, end, customer in common.asked_customers(events, options):
        with making:
            rows = zip(*(column[start:end].tolist() for column in given))
            text = "".join("%d\t%d\t%d\t%d\t%d\t%d\n" % row for row in rows)
        with batches, base.transaction():
            base.execute("TRUNCATE given")
            with base.cursor().copy("COPY given FROM STDIN") as copy:
                copy.write(text)
            base.execute(TAKE)
        if options.online:
            customer = customer - (1 << 64) if customer >= 1 << 63 else customer
            with queries:
                base.execute(ASK, (customer,)).fetchall()
    seconds, peak = time.perf_counter() - began - making.sum(), common.peak_mib()
    ask = "SELECT customer, meter, hour, count, sum, max, last FROM usage"
    rows = base.execute(ask).fetchall()
    common.answer(
        options,
        lambda: common.totals(options, [np.array(c, dtype=np.int64) for c in zip(*rows)]),
        making.sum(),
        batches,
        queries,
        seconds=seconds,
        peak_mib=peak,
    )


def main():
    options = common.arguments(version)
    import psycopg

    server = Server(options)
    try:
        with psycopg.connect(
            host=server.dir, user="counterfoil", dbname="postgres", autocommit=True
        ) as base:
            measure(options, base)
    finally:
        server.stop()


main()
