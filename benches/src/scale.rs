//! What grows: idle connections, workloads that a node knows, pods on a node.

pub mod idle;
pub mod pods;
pub mod workloads;

use crate::machine::process::Memory;
use crate::stage::part::Part;

/// The memory of some processes together.
pub(crate) fn memory(parts: &[Part]) -> anyhow::Result<Memory> {
    parts.iter().map(|part| Memory::of(part.pid())).sum()
}

/// What holds no more than before: looks until the memory of the processes has stopped growing, for a bounded time.
pub(crate) fn settled_memory(parts: &[Part]) -> anyhow::Result<Memory> {
    let mut last = memory(parts)?;
    for _ in 0..10 {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let now = memory(parts)?;
        if now.proportional <= last.proportional + last.proportional / 200 {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}
