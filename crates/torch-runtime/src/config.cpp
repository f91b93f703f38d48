// What this crate needs from C++: one call that torch-sys does not bind, and one precaution before the first product.
#include <cstdlib>
#include <string>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace at {
std::string show_config();
}

// How the loaded LibTorch was built, as `NAME=value` items; valid for the life of the program.
extern "C" const char* torch_runtime_show_config() {
  try {
    static const std::string config = at::show_config();
    return config.c_str();
  } catch (...) {
    return "";
  }
}

#if defined(__x86_64__) && defined(__unix__)
namespace {
// Some virtual machines announce AMX tiles (leaf 7) and hide their sizes (leaf 0x1d). oneDNN then configures tiles of
// size zero, and the first bf16 product ends the program with SIGILL. There it is told to stop below AMX.
// A variable the user has set is left alone. Runs before main, while there is one thread.
__attribute__((constructor)) void avoid_half_announced_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned amx_tile = 1u << 24;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & amx_tile)) return;
  const bool sizes_known = __get_cpuid_count(0x1d, 1, &a, &b, &c, &d) && a != 0;
  if (!sizes_known) setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16", 0);
}
}  // namespace
#endif
