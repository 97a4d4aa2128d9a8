# `just` with no argument lists the recipes. CI calls the same ones (see .ci/run).

# List the recipes
default:
    @just --list --unsorted

# All that must pass before a commit
check: fmt-check clippy test doc deny

# Format every crate, the fuzz targets included
fmt:
    cargo fmt --all
    cargo fmt --manifest-path fuzz/Cargo.toml
    cargo fmt --manifest-path benches/compare/Cargo.toml

# Fail if a file is not formatted
fmt-check:
    cargo fmt --all --check
    cargo fmt --manifest-path fuzz/Cargo.toml --check
    cargo fmt --manifest-path benches/compare/Cargo.toml --check

# Lints, warnings as errors, over all targets
clippy:
    cargo clippy --workspace --all-targets -- -D warnings

# All tests: unit, integration, doctests
test:
    cargo test --workspace

# Random lives of customers, so many years of one customer: every invariant after every record
# (beside the command, so that what it is built from is not built twice)
years CUSTOMER_YEARS="10000":
    COUNTERFOIL_YEARS={{ CUSTOMER_YEARS }} cargo test --release -p counterfoil-sim -p counterfoil-cli --test years -- --nocapture

# Models of group commit and of the meter's store: every order in which threads may take turns, up to
# so many preemptions (the store's three at most)
loom PREEMPTIONS="4":
    LOOM_MAX_PREEMPTIONS={{ PREEMPTIONS }} RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom \
        cargo test -p counterfoil-log --test loom --release
    LOOM_MAX_PREEMPTIONS={{ PREEMPTIONS }} RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom \
        cargo test -p counterfoil-meter --features planted-bugs --test loom --release

# The tests that hold the architecture (part of `test`)
tidy:
    cargo test -p counterfoil-tidy

# Build the documentation, warnings as errors
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Licences, banned crates and sources of the dependencies (needs cargo-deny)
deny:
    cargo deny --workspace check licenses bans sources

# Run a scenario: just run examples/saas/scenario.yaml --json
run *ARGS:
    cargo run --release -- run {{ ARGS }}

# The embedding example of the facade
embed:
    cargo run --release -p counterfoil --example embed

# Run the benchmarks; arguments go to criterion
bench *ARGS:
    cargo bench -p counterfoil-benches -- {{ ARGS }}

# The log beside SQLite, redb, fjall and plain files (see benches/compare): just bench-log --quick
bench-log *ARGS:
    cd benches/compare && cargo run --release -- {{ ARGS }}

# The meter beside DuckDB, Polars, ClickHouse and others: just bench-meter online --events 50000000
bench-meter *ARGS:
    cd benches/compare && cargo run --release --no-default-features --features meter \
        --bin counterfoil-compare-meter -- {{ ARGS }}

# All sections of docs/METER-SPEED.md anew, about 25 minutes: just bench-meter-report 5000000 200000 20000000 1
bench-meter-report EVENTS="50000000" SMALL="500000" GROWTH="200000000" ROUNDS="3" REMARK="":
    just bench-meter batch --events {{ EVENTS }} --small {{ SMALL }} --rounds {{ ROUNDS }} --remark '"{{ REMARK }}"'
    just bench-meter online --events {{ EVENTS }} --small {{ SMALL }} --rounds {{ ROUNDS }} --remark '"{{ REMARK }}"'
    just bench-meter singles --small {{ SMALL }} --rounds {{ ROUNDS }} --remark '"{{ REMARK }}"'
    just bench-meter growth --events {{ GROWTH }} --rounds 1 --remark '"{{ REMARK }}"'
    just bench-meter recovery --events {{ EVENTS }} --rounds {{ ROUNDS }} --remark '"{{ REMARK }}"'
    just bench-meter batch --trace ../../examples/llm/trace-2026-01.csv --rounds 1 --remark '"{{ REMARK }}"'

# Every mode of bench-meter at a size that says nothing of speed
bench-meter-test:
    cd benches/compare && cargo test --no-default-features --features meter

# Build the benchmarks without running them
bench-build:
    cargo bench -p counterfoil-benches --no-run

# The figures of docs/RELIABILITY.md, at the size that it reports
reliability:
    @just reliability-at full

# The same for a night or a week
reliability-long:
    @just reliability-at long

# Every figure at one size: ci, full, long
[private]
reliability-at SIZE:
    COUNTERFOIL_RELIABILITY={{ SIZE }} cargo test --release -p counterfoil-log --test reliability -- --nocapture
    COUNTERFOIL_RELIABILITY={{ SIZE }} cargo test --release -p counterfoil --test durability -- --nocapture
    COUNTERFOIL_RELIABILITY={{ SIZE }} cargo test --release -p counterfoil-meter --features store,workload \
        --test store --test store_kill --test store_allocations -- --nocapture

# Fuzz one target for so many seconds (needs cargo-fuzz): just fuzz log_open 60
fuzz TARGET SECONDS:
    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz {{ TARGET }} -- -max_total_time={{ SECONDS }}

# Type-check the fuzz targets
fuzz-check:
    cargo check --manifest-path fuzz/Cargo.toml

# Write the golden files anew from what the code does now; review the diff
golden:
    COUNTERFOIL_BLESS=1 cargo test --workspace

# Write the usage files of examples/ anew
examples:
    cargo run -p counterfoil-scenario --example generate

# Everything CI does
ci:
    bash .ci/run
