//! What must hold under load and when things break. `make test` runs each at a hundredth of its size or so, `make fault`
//! at full size, which `LONGSHORE_FAULT=full` asks for.

mod audit;
mod clients;
mod clock;
mod clouds;
mod dice;
mod edits;
mod full_disk;
mod gateways;
mod gc;
mod kill;
mod large;
mod ledger;
mod load;
mod memory;
mod moves;
mod order;
mod power;
mod proxy;
mod races;
mod rebuild;
mod remote;
mod script;
mod size;
mod syscalls;
mod versions;

/// Whether the full size is asked for.
fn at_full_size() -> bool {
    std::env::var("LONGSHORE_FAULT").is_ok_and(|size| size == "full")
}
