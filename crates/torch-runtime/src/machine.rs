//! What this machine has: memory, and products that are fast.

/// Bytes that could be allocated without swapping, as Linux estimates it, and not more than a container's limit leaves;
/// `None` elsewhere.
pub fn available_memory() -> Option<u64> {
    let system = meminfo("MemAvailable:")?;
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    // A container's own limit (cgroup 2); "max" is no number.
    let limit = number("/sys/fs/cgroup/memory.max");
    let left = limit.map(|limit| limit.saturating_sub(number("/sys/fs/cgroup/memory.current").unwrap_or(0)));
    Some(left.map_or(system, |left| left.min(system)))
}

/// Bytes of memory in all; `None` where it is not known.
pub fn total_memory() -> Option<u64> {
    meminfo("MemTotal:")
}

fn meminfo(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether a CPU's bf16 products are faster than its f32 ones: with AMX's tiles, if oneDNN may use them.
///
/// AVX-512's bf16 instruction alone was measured at half the rate of f32 products.
pub fn bf16_is_fast() -> bool {
    let allowed =
        std::env::var("ONEDNN_MAX_CPU_ISA").map_or(true, |isa| isa.contains("AMX") || isa == "DEFAULT");
    allowed && has_amx()
}

#[cfg(target_arch = "x86_64")]
fn has_amx() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    if __cpuid(0).eax < 0x1d {
        return false;
    }
    let announced = __cpuid_count(7, 0).edx;
    // Some virtual machines announce tiles and hide their sizes; there they cannot be used.
    announced & (AMX_BF16 | AMX_TILE) == AMX_BF16 | AMX_TILE && __cpuid_count(0x1d, 1).eax != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn has_amx() -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn there_is_memory_and_some_of_it_is_free() {
        let (total, available) = (total_memory().expect("total"), available_memory().expect("available"));
        assert!(available > 1 << 20 && available <= total, "{available} of {total}");
    }
}
