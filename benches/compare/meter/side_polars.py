"""Polars: a frame in memory, its streaming engine."""

import os

import common


def version():
    import polars

    return f"Polars {polars.__version__}"


def main():
    options = common.arguments(version)
    os.environ["POLARS_MAX_THREADS"] = str(options.threads)
    import polars as pl

    with common.Clock() as load:
        events = common.columns(options)
        frame = pl.DataFrame({name: pl.Series(name, column) for name, column in events.items()})
    rows = (
        frame.lazy()
        .unique(subset=["hi", "lo"], keep="any", maintain_order=False)
        .group_by("customer", "meter", (pl.col("time") // 3_600_000).alias("hour"))
        .agg(
            pl.len().alias("count"),
            pl.col("units").sum().alias("sum"),
            pl.col("units").max().alias("max"),
            pl.col("units").max_by("time").alias("last"),
        )
    )
    found, passes = common.twice(lambda: rows.collect(engine="streaming"))
    common.answer(
        options,
        lambda: common.totals(options, [found[name].to_numpy() for name in found.columns]),
        load.sum(),
        **passes,
    )


main()
