"""Redis: SET NX for each identifier, then the rows of what was new, as hashes; pipelined."""

import os
import shutil
import subprocess
import time

import common

# One row: what its events of a batch come to is added by the server.
ROLL = """
redis.call('HINCRBY', KEYS[1], ARGV[1] .. 'c', ARGV[2])
redis.call('HINCRBY', KEYS[1], ARGV[1] .. 's', ARGV[3])
local most = redis.call('HGET', KEYS[1], ARGV[1] .. 'm')
if not most or tonumber(ARGV[4]) > tonumber(most) then
    redis.call('HSET', KEYS[1], ARGV[1] .. 'm', ARGV[4])
end
local at = redis.call('HGET', KEYS[1], ARGV[1] .. 't')
if not at or tonumber(ARGV[6]) >= tonumber(at) then
    redis.call('HSET', KEYS[1], ARGV[1] .. 'l', ARGV[5], ARGV[1] .. 't', ARGV[6])
end
"""


def version():
    import redis  # noqa: F401: asked whether it is there

    told = subprocess.run(["redis-server", "--version"], capture_output=True, text=True)
    return f"Redis {told.stdout.split('v=')[1].split()[0]}"


class Server:
    """A server in a folder, reached by a socket there."""

    def __init__(self, options):
        import redis

        self.dir = os.path.join(options.dir, "redis")
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        socket = os.path.join(self.dir, "socket")
        settings = ["--port", "0", "--unixsocket", socket, "--dir", self.dir, "--save", ""]
        if options.online:
            settings += ["--appendonly", "yes", "--appendfsync", "always"]
        self.process = subprocess.Popen(
            ["redis-server", *settings], stdout=subprocess.DEVNULL, cwd="/"
        )
        self.base = redis.Redis(unix_socket_path=socket)
        for _ in range(200):
            try:
                self.base.ping()
                return
            except redis.exceptions.ConnectionError:
                time.sleep(0.05)
        raise OSError("redis-server does not answer")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def take(base, roll, rows):
    """A batch: which identifiers are new, and then the rows of their events."""
    pipe = base.pipeline(transaction=False)
    for hi, lo, *_ in rows:
        pipe.set(b"%016x%016x" % (hi, lo), b"", nx=True)
    found = {}
    for new, (_, _, customer, meter, at, units) in zip(pipe.execute(), rows):
        if not new:
            continue
        key = (customer, meter, at // 3_600_000)
        row = found.get(key)
        if row is None:
            found[key] = [1, units, units, units, at]
            continue
        row[0] += 1
        row[1] += units
        row[2] = max(row[2], units)
        if at >= row[4]:
            row[3], row[4] = units, at
    pipe = base.pipeline(transaction=False)
    for (customer, meter, hour), row in found.items():
        pipe.evalsha(roll, 1, f"u{customer}:{meter}", f"{hour}:", *row)
    pipe.execute()


def measure(options, base):
    import numpy as np

    roll = base.script_load(ROLL)
    events = common.columns(options)
    given = list(events.values())
    batches, queries, making = common.Clock(), common.Clock(), common.Clock()
    batch = min(options.batch, 10_000)
    options.batch = batch
    began = time.perf_counter()
    for start, end, customer in common.asked_customers(events, options):
        with making:
            rows = list(zip(*(column[start:end].tolist() for column in given)))
        with batches:
            take(base, roll, rows)
        if options.online:
            with queries:
                pipe = base.pipeline(transaction=False)
                for meter in range(8):
                    pipe.hgetall(f"u{customer}:{meter}")
                pipe.execute()
    seconds, peak = time.perf_counter() - began - making.sum(), common.peak_mib()
    used = base.info("memory")["used_memory_peak"] / (1 << 20)

    def rows():
        found = []
        for name in base.scan_iter(match="u*", count=10_000):
            customer, meter = name[1:].split(b":")
            hours = {}
            for field, value in base.hgetall(name).items():
                hour, lane = field.split(b":")
                hours.setdefault(int(hour), {})[lane] = int(value)
            for hour, lanes in hours.items():
                lanes = [lanes[lane] for lane in (b"c", b"s", b"m", b"l")]
                found.append((int(customer), int(meter), hour, *lanes))
        columns = list(zip(*found))
        return common.totals(
            options,
            [np.array(columns[0], dtype=np.uint64)]
            + [np.array(column, dtype=np.int64) for column in columns[1:]],
        )

    common.answer(
        options, rows, making.sum(), batches, queries, seconds=seconds, peak_mib=peak + used
    )


def main():
    options = common.arguments(version)
    server = Server(options)
    try:
        measure(options, server.base)
    finally:
        server.stop()


main()
