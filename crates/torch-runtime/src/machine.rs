//! What this machine has: memory and kernels.

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

/// This host's name; `this host` where the system does not say.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "this host".to_owned() } else { name.trim().to_owned() }
}

/// Variables by which LibTorch, MKL and oneDNN are told to compute otherwise than the CPU suggests; `DNNL_…` is oneDNN's
/// older name. How many threads there are is LibTorch's to say.
const KERNEL_VARIABLES: [&str; 9] = [
    "ATEN_CPU_CAPABILITY",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
];

/// What decides which kernels compute on this CPU, and so the last bits of results: the CPU by name, and the variables
/// that choose among kernels, where they are set. With equal answers, shapes and threads give the same bits; LibTorch
/// places every tensor at a multiple of 64 bytes, so that where memory lies decides nothing.
pub fn kernels() -> Vec<(&'static str, String)> {
    let set = |name: &'static str| Some((name, std::env::var(name).ok()?));
    std::iter::once(("cpu", cpu())).chain(KERNEL_VARIABLES.into_iter().filter_map(set)).collect()
}

/// The CPU's name with its family and model, for example `AMD EPYC 9B45 (26, 2)`: virtual machines shorten the name.
#[cfg(target_arch = "x86_64")]
fn cpu() -> String {
    use std::arch::x86_64::__cpuid;
    let mut name = Vec::new();
    if __cpuid(0x8000_0000).eax >= 0x8000_0004 {
        for leaf in 0x8000_0002..=0x8000_0004 {
            let part = __cpuid(leaf);
            name.extend([part.eax, part.ebx, part.ecx, part.edx].into_iter().flat_map(u32::to_le_bytes));
        }
    }
    let name = String::from_utf8_lossy(&name).replace('\0', " ");
    let name: Vec<&str> = name.split_whitespace().collect();
    // AMD's and Intel's manuals (CPUID leaf 1): extensions count where the base family is 15, the model's also for 6.
    let about = __cpuid(1).eax;
    let bits = |from: u32, count: u32| (about >> from) & ((1 << count) - 1);
    let family = bits(8, 4) + if bits(8, 4) == 15 { bits(20, 8) } else { 0 };
    let model = bits(4, 4) + if matches!(bits(8, 4), 6 | 15) { bits(16, 4) << 4 } else { 0 };
    format!("{} ({family}, {model})", name.join(" "))
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu() -> String {
    std::env::consts::ARCH.to_owned()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn there_is_memory_and_some_of_it_is_free() {
        let (total, available) = (total_memory().expect("total"), available_memory().expect("available"));
        assert!(available > 1 << 20 && available <= total, "{available} of {total}");
    }

    #[test]
    fn the_cpu_is_the_one_the_system_names() {
        let info = std::fs::read_to_string("/proc/cpuinfo").expect("cpuinfo");
        let of = |key: &str| {
            let line = info.lines().find(|line| line.split(':').next().is_some_and(|k| k.trim() == key))?;
            Some(line.split_once(':')?.1.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        let kernels = kernels();
        if let (Some(name), Some(family), Some(model)) = (of("model name"), of("cpu family"), of("model")) {
            assert_eq!(kernels[0], ("cpu", format!("{name} ({family}, {model})")));
        }
        assert!(kernels[0].1.ends_with(')') || !cfg!(target_arch = "x86_64"), "{kernels:?}");
    }
}
