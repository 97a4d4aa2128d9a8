"""Redis: a script for each batch: SET NX for each identifier, and a hash of rows by hour."""

import os
import shutil
import struct
import subprocess
import time

import common

# A batch, packed: of each event the identifier (16 bytes), customer and meter (10), hour (4), time and
# value (8 each). What a row comes to is one field: count, sum, maximum, last and its time. Numbers
# of Lua are exact up to 2^53, beyond any row here.
TAKE = """
local given, at = ARGV[1], 1
while at <= #given do
    if redis.call('SET', given:sub(at, at + 15), '', 'NX') then
        local key, hour = given:sub(at + 16, at + 25), given:sub(at + 26, at + 29)
        local time, units = struct.unpack('<i8i8', given, at + 30)
        local row = redis.call('HGET', key, hour)
        local count, sum, most, last, last_at = 1, units, units, units, time
        if row then
            count, sum, most, last, last_at = struct.unpack('<i8i8i8i8i8', row)
            count, sum, most = count + 1, sum + units, math.max(most, units)
            if time >= last_at then
                last, last_at = units, time
            end
        end
        redis.call('HSET', key, hour, struct.pack('<i8i8i8i8i8', count, sum, most, last, last_at))
    end
    at = at + 46
end
"""
FIELDS = [("hi", ">u8"), ("lo", ">u8"), ("customer", "<u8"), ("meter", "<u2"), ("hour", "<u4"),
          ("time", "<i8"), ("units", "<i8")]


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


def measure(options, base):
    import numpy as np

    take = base.script_load(TAKE)
    events = common.columns(options)
    batches, queries, making = common.Clock(), common.Clock(), common.Clock()
    # A script holds up everybody else while it runs.
    options.batch = min(options.batch, 10_000)
    began = time.perf_counter()
    for start, end, customer in common.asked_customers(events, options):
        with making:
            given = np.empty(end - start, dtype=FIELDS)
            for name, _ in FIELDS:
                column = "time" if name == "hour" else name
                given[name] = events[column][start:end]
            given["hour"] = events["time"][start:end] // 3_600_000
            given = given.tobytes()
        with batches:
            base.evalsha(take, 0, given)
        if options.online:
            with queries:
                pipe = base.pipeline(transaction=False)
                for meter in range(8):
                    pipe.hvals(struct.pack("<QH", customer, meter))
                for hours in pipe.execute():
                    np.frombuffer(b"".join(hours), dtype="<i8").reshape(-1, 5).sum(axis=0)
    seconds, peak = time.perf_counter() - began - making.sum(), common.peak_mib()
    used = base.info("memory")["used_memory_peak"] / (1 << 20)

    def rows():
        found = []
        for name in base.scan_iter(count=10_000, _type="hash"):
            customer, meter = struct.unpack("<QH", name)
            for hour, row in base.hgetall(name).items():
                hour = int.from_bytes(hour, "little")
                found.append((customer, meter, hour, *struct.unpack("<4q", row[:32])))
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
