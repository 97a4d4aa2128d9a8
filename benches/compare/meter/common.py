"""What the sides share: the events, the checksum of the rows, and the answer that they print."""

import argparse
import json
import os
import sys
import time

WIDTHS = {
    "hi": "<u8",
    "lo": "<u8",
    "customer": "<u8",
    "meter": "<u2",
    "time": "<i8",
    "units": "<i8",
}


def arguments(version):
    """The arguments; `version` says which engine there is, and raises ImportError if none is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--probe", action="store_true")
    parser.add_argument("--dir")
    parser.add_argument("--events", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1 << 20)
    parser.add_argument("--online", action="store_true")
    parser.add_argument("--durable", choices=["key", "append"])
    options = parser.parse_args()
    try:
        name = version()
    except (ImportError, OSError) as error:
        sys.exit(f"not installed ({error})")
    if options.probe:
        print(name)
        sys.exit(0)
    return options


def columns(options):
    """The events, mapped: a numpy array for each column. Times are milliseconds."""
    import numpy as np

    mapped = {}
    for name, width in WIDTHS.items():
        path = os.path.join(options.dir, name)
        mapped[name] = np.memmap(path, dtype=width, mode="r", shape=(options.events,))
    return mapped


def table(events, start=0, end=None):
    """Some of the events as an Arrow table, without a copy."""
    import pyarrow as pa

    return pa.table({name: pa.array(column[start:end]) for name, column in events.items()})


def mixed(word):
    import numpy as np

    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def totals(options, rows):
    """What rows add up to: customer, meter, hour, count, sum, max, last, as sequences of numbers."""
    import numpy as np

    words = []
    for column in rows:
        # Sums can come as decimals or as floating point; they are whole numbers below 2^63.
        column = np.asarray(column)
        if column.dtype.kind not in "iu":
            column = column.astype(np.int64)
        words.append(column.astype(np.int64, copy=False).view(np.uint64) if
                     column.dtype.kind == "i" else column.astype(np.uint64, copy=False))
    golden = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        place = np.zeros(len(words[0]), dtype=np.uint64)
        for word in words[:3]:
            place = mixed(place + word + golden)
        ties = np.fromfile(os.path.join(options.dir, f"ties-{options.events}"), dtype="<u8")
        last = np.where(np.isin(place, ties), np.uint64(0), words[6])
        hashes = place
        for word in (words[3], words[4], words[5], last):
            hashes = mixed(hashes + word + golden)
        return {
            "rows": len(place),
            "count": int(words[3].sum(dtype=np.uint64)),
            "sum": int(words[4].view(np.int64).sum(dtype=np.int64)),
            "checksum": int(hashes.sum(dtype=np.uint64)),
        }


def arrow_totals(options, result):
    """The same of an Arrow table with these columns in this order."""
    return totals(options, [result.column(at).to_numpy() for at in range(7)])


def percentiles(seconds):
    """Microseconds."""
    ordered = sorted(seconds)
    last = len(ordered) - 1

    def at(share):
        return ordered[min(last, -(-last * share // 1000))] * 1e6

    return {"p50": at(500), "p99": at(990), "max": at(1000)}


def peak_mib():
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def asked_customers(events, options):
    """For each batch its bounds, and the customer that is asked about after it."""
    for start in range(0, options.events, options.batch):
        end = min(options.events, start + options.batch)
        yield start, end, int(events["customer"][start + (end - start) // 2])


class Clock:
    """How long each of many things took."""

    def __init__(self):
        self.seconds = []

    def __enter__(self):
        self.began = time.perf_counter()
        return self

    def __exit__(self, *_):
        self.seconds.append(time.perf_counter() - self.began)

    def sum(self):
        return sum(self.seconds)


def twice(work):
    """Does work twice: what it came to, and how long each time took. The first time is in memory as
    it came from the system, the second one in what the first one left."""
    with Clock() as first:
        result = work()
    peak = peak_mib()
    del result
    cpu = time.process_time()
    with Clock() as second:
        result = work()
    cpu = time.process_time() - cpu
    passes = {"first_seconds": first.sum(), "seconds": second.sum(), "cpu_seconds": cpu}
    return result, {**passes, "peak_mib": peak}


def answer(options, rows, load_seconds, batch=None, query=None, **more):
    """Prints what the side came to; `rows` works out what its rows add up to."""
    printed = {"load_seconds": load_seconds, "totals": rows(), **more}
    if batch is not None:
        printed["batch"] = percentiles(batch.seconds)
        printed["stall"] = max(batch.seconds + query.seconds) * 1e6
    if options.online:
        printed["query"] = percentiles(query.seconds)
    print(json.dumps(printed))
